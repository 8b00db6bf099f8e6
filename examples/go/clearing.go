package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	clearLimit = 30 * time.Second
	atOnce     = 16
	maxWaiting = 10_000
	// In one call: more would hold Redis, and so a logout, for longer.
	maxBatch = 50
	// After some were acknowledged further ones wait for each other for so long.
	gather = 250 * time.Millisecond
)

//go:embed acknowledge.lua
var acknowledge string

// handled is an eviction on its way: to be cleared, then to be acknowledged.
type handled struct {
	event       Event
	publishedMs int64
	at          time.Time
}

func (l *Listener) clearing(batch []handled) {
	for _, item := range batch {
		select {
		case l.cleared <- item:
		default:
			l.reset(fmt.Sprintf("more than %d evictions wait to be cleared", maxWaiting))
			return
		}
	}
}

func (l *Listener) clear(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case item := <-l.cleared:
			l.begun.Add(1)
			limited, cancel := context.WithTimeout(ctx, clearLimit)
			var err error
			if l.onEviction != nil {
				err = l.onEviction(limited, item.event)
			}
			cancel()
			if err != nil {
				l.log("an eviction was not cleared: %v", err)
				continue
			}
			item.at = time.Now()
			select {
			case l.done <- item:
			default: // Redis is away for long; the trace shows it missing
			}
		}
	}
}

// acknowledge also gives the signs of life, while this process reads.
func (l *Listener) acknowledge(ctx context.Context) {
	ticks := time.NewTicker(min(l.wait/2, time.Second))
	defer ticks.Stop()
	var waiting []handled
	var sentAt time.Time
	for {
		select {
		case <-ctx.Done():
			final, cancel := context.WithTimeout(context.Background(), askLimit)
			defer cancel()
			for len(l.done) > 0 {
				waiting = append(waiting, <-l.done)
			}
			l.sendAll(final, waiting)
			for _, key := range []string{":instances", ":instances:since"} {
				l.asking.Load().Do(final, "ZREM", l.prefix+key, l.app+"/"+l.worker)
			}
			return
		case item := <-l.done:
			waiting = append(waiting, item)
			if len(waiting) < maxWaiting && len(l.done) > 0 {
				continue
			}
		case <-ticks.C:
			if len(waiting) == 0 && (!l.hears() || time.Since(sentAt) < 2*l.wait) {
				continue
			}
		}
		hadSome, sent := len(waiting) > 0, false
		if waiting, sent = l.sendAll(ctx, waiting[max(0, len(waiting)-maxWaiting):]); sent {
			if hadSome {
				select {
				case <-ctx.Done():
				case <-time.After(gather):
				}
			}
			sentAt = time.Now()
		}
	}
}

// sendAll gives what is left, and whether all was sent; nothing is a sign of life.
func (l *Listener) sendAll(ctx context.Context, waiting []handled) ([]handled, bool) {
	for {
		batch := waiting[:min(len(waiting), maxBatch)]
		if !l.send(ctx, batch) {
			return waiting, false
		}
		if waiting = waiting[len(batch):]; len(waiting) == 0 {
			return nil, true
		}
	}
}

func (l *Listener) send(ctx context.Context, batch []handled) bool {
	keys := []string{l.prefix + ":acks", l.prefix + ":instances", l.prefix + ":instances:since"}
	arguments := []any{l.app, l.worker, l.worker, time.Since(l.beganAt).Milliseconds(), maxWaiting}
	for _, item := range batch {
		arguments = append(arguments, item.event.id, time.Since(item.at).Milliseconds(), item.event.receivedMs, item.publishedMs)
	}
	limited, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	err := redis.NewScript(acknowledge).Run(limited, l.asking.Load(), keys, arguments...).Err()
	if err != nil {
		l.reopenAfter(err)
	}
	return err == nil
}
