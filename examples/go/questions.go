package main

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	askLimit = 2 * time.Second
	// Questions in one round trip.
	atOnceAsked = 500
)

// Before Redis 7 a script's READONLY comes inside another error.
var demoted = regexp.MustCompile(`^(MOVED|CLUSTERDOWN|MASTERDOWN|UNBLOCKED|LOADING)\b|READONLY`)

type question struct {
	keys   []any
	answer chan []any
}

// redisSays is nil where Redis does not answer.
func (l *Listener) redisSays(keys []any) []any {
	if time.Now().UnixNano() < l.awayUntil.Load() {
		return nil
	}
	limit := time.After(askLimit)
	answer := make(chan []any, 1)
	select {
	case l.questions <- question{keys, answer}:
	case <-l.ended:
		return nil
	case <-limit:
		return nil
	}
	select {
	case values := <-answer:
		return values
	case <-limit:
		return nil
	}
}

// ask sends what is asked at the same time in one round trip.
func (l *Listener) ask(ctx context.Context) {
	for {
		var batch []question
		select {
		case <-ctx.Done():
			return
		case first := <-l.questions:
			batch = append(batch, first)
		}
	more:
		for len(batch) < atOnceAsked {
			select {
			case next := <-l.questions:
				batch = append(batch, next)
			default:
				break more
			}
		}
		limited, cancel := context.WithTimeout(ctx, askLimit)
		pipeline := l.asking.Load().Pipeline()
		replies := make([]*redis.Cmd, len(batch))
		for index, question := range batch {
			replies[index] = pipeline.Do(limited, question.keys...)
		}
		_, err := pipeline.Exec(limited)
		cancel()
		if err != nil {
			l.awayUntil.Store(time.Now().Add(time.Second).UnixNano())
			l.tell(err)
			l.reopenAfter(err)
		}
		for index, question := range batch {
			values, _ := replies[index].Val().([]any)
			question.answer <- values
		}
	}
}

func (l *Listener) tell(err error) {
	if !strings.HasPrefix(err.Error(), "NOPERM") {
		l.log("cannot ask Redis about a session: %v", err)
	} else if !l.toldOfRights.Swap(true) {
		l.log("only logouts heard from now on count; grant: ACL SETUSER <user> ~%s:mark:* +mget (%v)", l.prefix, err)
	}
}

// isDemotion tells whether a server says that it is not the primary of our keys, or not for now.
func isDemotion(err error) bool {
	return demoted.MatchString(err.Error())
}

// reopenAfter has connections opened anew where a reply says that they are not to the primary: others may be to the same server.
func (l *Listener) reopenAfter(err error) {
	if isDemotion(err) {
		l.open()
	}
}

// open makes the client for what does not block, in place of the one before.
func (l *Listener) open() {
	options := *l.options
	options.PoolSize = 2
	if before := l.asking.Swap(redis.NewClient(&options)); before != nil {
		before.Close()
	}
}

// reading makes the client that reads the stream, of one connection. The pool would replace one that was closed between two reads, and
// tell of no failure: the next may lead to another stream (S5), so it is one.
func (l *Listener) reading() *redis.Client {
	options, opened := *l.options, new(atomic.Bool)
	options.PoolSize = 1
	options.OnConnect = func(context.Context, *redis.Conn) error {
		if opened.Swap(true) {
			return errors.New("the connection was closed")
		}
		return nil
	}
	return redis.NewClient(&options)
}
