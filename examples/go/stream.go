package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Reads the stream: S1 to S6, B3, W1 and W2.

const (
	count    = 100
	lookBack = time.Minute
)

type seen struct {
	id     string
	number int64 // 0: none
}

type cursor struct {
	seen
	known      bool // whether a number is known
	unnumbered int64
}

func (c cursor) follows(number int64) bool {
	return number == 0 || !c.known || (c.number < number && number <= c.number+1+c.unnumbered)
}

func (c cursor) after(s seen) cursor {
	if s.number == 0 {
		return cursor{seen{s.id, c.number}, c.known, c.unnumbered + 1}
	}
	return cursor{s, true, 0}
}

type view struct {
	before, first []seen
	sequence      int64 // -1: cannot be seen
}

func starting(v view) cursor {
	c := cursor{seen: seen{id: "0-0"}}
	for index := len(v.before) - 1; index >= 0; index-- {
		c = c.after(v.before[index])
	}
	if len(v.before) > 0 {
		return c
	}
	for _, s := range v.first {
		if s.number > 0 {
			return cursor{seen{"0-0", s.number - 1}, true, 0}
		}
	}
	if len(v.first) == 0 && v.sequence >= 0 {
		return cursor{seen{"0-0", v.sequence}, true, 0}
	}
	return c
}

func (c cursor) misses(v view) bool {
	if len(v.before) > 0 {
		last, number := v.before[0], c.number
		if c.unnumbered > 0 || !c.known {
			number = 0
		}
		return last.id != c.id || last.number != number
	}
	for _, s := range v.first {
		if s.number > 0 {
			return !c.follows(s.number)
		}
		c = c.after(s)
	}
	if len(v.first) > 0 {
		return false
	}
	if v.sequence < 0 {
		return c.id != "0-0"
	}
	return !c.follows(v.sequence + 1)
}

// readForEver starts over, with a new connection, after each failure.
func (l *Listener) readForEver(ctx context.Context) {
	pause, isSilent := 100*time.Millisecond, true
	good := func() {
		if isSilent {
			l.log("hears of logouts")
		}
		pause, isSilent = 100*time.Millisecond, false
	}
	for ctx.Err() == nil {
		client := l.reading()
		err := l.readOn(ctx, client, good)
		client.Close()
		l.checked = false
		if ctx.Err() != nil {
			return
		}
		l.log("cannot read evictions, trying again: %v", err)
		isSilent = true
		l.reopenAfter(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(pause*2, 5*time.Second)
	}
}

func (l *Listener) readOn(ctx context.Context, client *redis.Client, good func()) error {
	for ctx.Err() == nil {
		if err := l.read(ctx, client); err != nil {
			return err
		}
		good()
	}
	return ctx.Err()
}

func (l *Listener) read(ctx context.Context, client *redis.Client) error {
	if !l.checked {
		position := ""
		if l.cursor != nil {
			position = l.cursor.id
		} else {
			now, err := do(ctx, client, 2*time.Second, "TIME")
			if err != nil {
				return err
			}
			parts := now.([]any)
			seconds, _ := strconv.ParseInt(parts[0].(string), 10, 64)
			position = fmt.Sprintf("(%d-0", max(1, (seconds-int64((lookBack+time.Since(l.beganAt)).Seconds())-1)*1000))
		}
		if err := l.beAtPrimary(ctx, client); err != nil {
			return err
		}
		v, err := l.view(ctx, client, position)
		if err != nil {
			return err
		}
		switch {
		case l.cursor == nil:
			c := starting(v)
			l.cursor = &c
		case l.cursor.misses(v):
			c := starting(v)
			if len(v.before) > 0 {
				c = cursor{seen: seen{id: "0-0"}}
			}
			l.cursor = &c
			l.reset("Redis has lost its data, or entries were trimmed before they were read")
		}
		l.checked = true
	}
	block := l.wait
	if !l.hasRead {
		block = time.Millisecond
	}
	for {
		reply, err := do(ctx, client, block+l.wait, "XREAD", "COUNT", count, "BLOCK", block.Milliseconds(), "STREAMS", l.prefix+":events", l.cursor.id)
		if err != nil {
			return err
		}
		entries := entriesOf(reply)
		l.checked = len(entries) > 0
		l.take(entries)
		if len(entries) < count {
			break
		}
	}
	l.hasRead = true
	l.readAt.Store(time.Now().UnixNano())
	return nil
}

type entry struct {
	seen
	event string
}

func (l *Listener) take(entries []entry) {
	var batch []handled
	for _, e := range entries {
		if !l.cursor.follows(e.number) {
			l.reset(fmt.Sprintf("%s is number %d, the one before was %d", e.id, e.number, l.cursor.number))
		}
		c := l.cursor.after(e.seen)
		l.cursor = &c
		event, err := readEvent(e.event)
		if err != nil {
			l.skip(e.id, err.Error())
			continue
		}
		if e.number == 0 {
			l.skip(e.id, "its field n is missing or no number; its event is used all the same")
		}
		l.knowledge.note(event)
		published, _ := strconv.ParseInt(strings.SplitN(e.id, "-", 2)[0], 10, 64)
		batch = append(batch, handled{event: event, publishedMs: published})
	}
	l.clearing(batch)
}

// beAtPrimary fails at a server that is not the primary any more, which reads do not show: only a primary takes a write.
func (l *Listener) beAtPrimary(ctx context.Context, client *redis.Client) error {
	_, err := do(ctx, client, 2*time.Second, "ZREM", l.prefix+":instances", "-")
	var reply redis.Error
	if errors.As(err, &reply) && !isDemotion(err) {
		return nil // as where it has no right to
	}
	return err
}

func (l *Listener) view(ctx context.Context, client *redis.Client, position string) (v view, err error) {
	sequence, err := do(ctx, client, 2*time.Second, "GET", l.prefix+":sequence")
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "NOPERM"):
		v.sequence = -1
	case err != nil:
		return v, err
	case sequence != nil:
		if v.sequence = readNumber(sequence); v.sequence == 0 {
			v.sequence = -1
		}
	}
	some := func(command func(count int) []any) []seen {
		for _, count := range []int{1, 100} {
			var reply any
			if reply, err = do(ctx, client, 2*time.Second, command(count)...); err != nil {
				return nil
			}
			var found []seen
			for _, e := range entriesOf(reply) {
				found = append(found, e.seen)
			}
			if count == 100 || len(found) == 0 || found[0].number > 0 {
				return found
			}
		}
		return nil
	}
	v.before = some(func(count int) []any {
		return []any{"XREVRANGE", l.prefix + ":events", position, "-", "COUNT", count}
	})
	if err == nil && len(v.before) == 0 {
		v.first = some(func(count int) []any { return []any{"XREAD", "COUNT", count, "STREAMS", l.prefix + ":events", "0-0"} })
	}
	return v, err
}

// do runs one command; nil for a reply that is nil.
func do(ctx context.Context, client *redis.Client, limit time.Duration, command ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	reply, err := client.Do(ctx, command...).Result()
	if err == redis.Nil {
		return nil, nil
	}
	return reply, err
}

// entriesOf reads an answer to XREVRANGE, or to XREAD, which names the stream.
func entriesOf(reply any) (entries []entry) {
	if streams, ok := reply.(map[any]any); ok {
		for _, found := range streams {
			return entriesOf(found)
		}
	}
	list, _ := reply.([]any)
	for _, item := range list {
		pair := item.([]any)
		fields, _ := pair[1].([]any)
		if len(fields) > 0 {
			if _, ofStream := fields[0].([]any); ofStream {
				return entriesOf(fields)
			}
		}
		e := entry{seen: seen{id: pair[0].(string)}}
		for index := 0; index+1 < len(fields); index += 2 {
			switch fields[index] {
			case "n":
				e.number = readNumber(fields[index+1])
			case "event":
				e.event, _ = fields[index+1].(string)
			}
		}
		entries = append(entries, e)
	}
	return entries
}
