// Command listener is driven by the conformance kit: python -m tests.listeners --command <this program>.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"
)

type order struct {
	ID       int            `json:"id"`
	Do       string         `json:"do"`
	Redis    string         `json:"redis"`
	Prefix   string         `json:"prefix"`
	App      string         `json:"app"`
	ClientID string         `json:"client_id"`
	WaitS    json.Number    `json:"wait_s"`
	Clear    string         `json:"clear"`
	Unknown  string         `json:"when_unknown"`
	Claims   map[string]any `json:"claims"`
	Account  string         `json:"account"`
	Times    int            `json:"times"`
}

type answer map[string]any

func main() {
	log.SetFlags(0)
	var listener *Listener
	var writing sync.Mutex
	orders := bufio.NewScanner(os.Stdin)
	orders.Buffer(nil, 1<<20)
	for orders.Scan() {
		var given order
		decoder := json.NewDecoder(strings.NewReader(orders.Text()))
		decoder.UseNumber()
		if err := decoder.Decode(&given); err != nil {
			log.Printf("no order: %v", err)
			continue
		}
		if given.Do == "start" {
			listener = start(given)
		}
		go func() {
			said := carryOut(listener, given)
			said["id"] = given.ID
			line, _ := json.Marshal(said)
			writing.Lock()
			defer writing.Unlock()
			fmt.Println(string(line))
		}()
	}
}

func start(given order) *Listener {
	seconds, _ := given.WaitS.Float64()
	clear := map[string]func(context.Context, Event) error{
		"works": nil,
		"hangs": func(ctx context.Context, _ Event) error { <-ctx.Done(); return ctx.Err() },
		"fails": func(context.Context, Event) error { return errors.New("the cache is broken") },
	}[given.Clear]
	listener, err := NewListener(Options{
		URL: given.Redis, Prefix: given.Prefix, App: given.App, ClientID: given.ClientID,
		Wait: time.Duration(seconds * float64(time.Second)), OnEviction: clear, Log: log.Printf,
		RefuseUnknown: given.Unknown == "refuse",
	})
	if err != nil {
		log.Fatal(err)
	}
	listener.Start()
	return listener
}

func carryOut(listener *Listener, given order) answer {
	switch given.Do {
	case "start":
		return answer{}
	case "stop":
		listener.Stop()
		return answer{}
	case "health":
		return answer{
			"hears": listener.hears(), "skipped": listener.skipped.Load(), "resets": listener.resets.Load(), "heard": listener.begun.Load(),
		}
	case "loop":
		began := time.Now()
		for range given.Times {
			if _, err := listener.Status(given.Claims, given.Account); err != nil {
				return answer{"error": err.Error()}
			}
		}
		return answer{"us": float64(time.Since(began).Nanoseconds()) / 1000 / float64(given.Times)}
	case "ask", "sign_in":
		status, err := listener.Status(given.Claims, given.Account)
		if err != nil {
			return answer{"error": err.Error()}
		}
		return answer{"status": status}
	case "refresh", "write":
		status, err := listener.TokenStatus(given.Claims, given.Account, nil)
		if err != nil {
			return answer{"error": err.Error()}
		}
		return answer{"allowed": listener.Allows(status)}
	}
	return answer{"error": "no such order: " + given.Do}
}
