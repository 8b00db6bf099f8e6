package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crypto/rand"

	"github.com/redis/go-redis/v9"
)

const (
	askLimit   = 2 * time.Second
	clearLimit = 30 * time.Second
	atOnce     = 16
	maxWaiting = 10_000
)

//go:embed acknowledge.lua
var acknowledge string

// Options of a listener. OnEviction and OnReset may be nil.
type Options struct {
	URL, Prefix, App, ClientID string
	Wait                       time.Duration
	OnEviction                 func(context.Context, Event) error
	OnReset                    func()
	Log                        func(format string, arguments ...any)
}

// Listener refuses sessions that are over.
type Listener struct {
	prefix, app, clientID, worker string
	wait                          time.Duration
	onEviction                    func(context.Context, Event) error
	onReset                       func()
	log                           func(format string, arguments ...any)
	options                       *redis.Options
	knowledge                     *knowledge

	// Of the reading goroutine.
	cursor           *cursor
	checked, hasRead bool

	beganAt               time.Time
	readAt, awayUntil     atomic.Int64
	skipped, resets       atomic.Int64
	begun                 atomic.Int64
	toldOfRights          atomic.Bool
	asking                *redis.Client
	questions             chan question
	cleared, done         chan handled
	stop                  context.CancelFunc
	running, acknowledger sync.WaitGroup
}

type handled struct {
	event       Event
	publishedMs int64
	at          time.Time
}

type question struct {
	keys   []any
	answer chan []any
}

// NewListener checks the options; it reaches for no Redis.
func NewListener(o Options) (*Listener, error) {
	options, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL of Redis cannot be used: %w", err)
	}
	if o.App == "" || o.Prefix == "" || o.Wait <= 0 {
		return nil, fmt.Errorf("App, Prefix and Wait are needed")
	}
	options.ContextTimeoutEnabled, options.DialTimeout, options.MaxRetries = true, askLimit, -1
	options.ReadTimeout, options.WriteTimeout = 2*o.Wait+askLimit, askLimit
	options.DialerRetries = 1
	host, _ := os.Hostname()
	return &Listener{
		prefix: o.Prefix, app: o.App, clientID: o.ClientID, wait: o.Wait, onEviction: o.OnEviction, onReset: o.OnReset, log: o.Log,
		worker:  fmt.Sprintf("%s-%d-%s", strings.ReplaceAll(host, "/", "-"), os.Getpid(), rand.Text()[:6]),
		options: options, knowledge: newKnowledge(), questions: make(chan question),
		cleared: make(chan handled, maxWaiting), done: make(chan handled, maxWaiting),
	}, nil
}

// Start begins to listen; it waits for nothing.
func (l *Listener) Start() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop, l.beganAt = stop, time.Now()
	asking := *l.options
	asking.PoolSize = 2
	l.asking = redis.NewClient(&asking)
	l.log("%s: listening for logouts; sessions that cannot be told are the app's to decide", l.app)
	run := func(job func(context.Context)) {
		l.running.Add(1)
		go func() { defer l.running.Done(); job(ctx) }()
	}
	run(l.readForEver)
	run(l.ask)
	for range atOnce {
		run(l.clear)
	}
	l.acknowledger.Add(1)
	go func() { defer l.acknowledger.Done(); l.acknowledge(ctx) }()
}

// Stop says goodbye; it takes a few seconds at most.
func (l *Listener) Stop() {
	l.stop()
	l.acknowledger.Wait()
	l.asking.Close()
}

func (l *Listener) hears() bool { return time.Now().UnixNano()-l.readAt.Load() < int64(2*l.wait) }

// Status is live, ended, or unknown where neither this process nor Redis can tell.
func (l *Listener) Status(claims map[string]any, account string) (string, error) {
	session, err := newSession(claims, account, l.clientID)
	if err != nil {
		return "", err
	}
	if known := l.knowledge.status(session, l.hears()); known != "unknown" {
		return known, nil
	}
	look := newLook(session)
	keys := []any{"MGET"}
	for _, name := range look.names {
		keys = append(keys, l.prefix+":mark:"+name)
	}
	// Taken before Redis is asked: of what is heard later it may not know whether the session is newer.
	looksEnded, askedAt := l.knowledge.looksEnded(session), time.Now()
	values := l.redisSays(keys)
	if values == nil {
		if looksEnded || l.knowledge.looksEnded(session) {
			return "ended", nil
		}
		return "unknown", nil
	}
	answer := look.answer(values)
	answer.over = answer.over || (looksEnded && !answer.isNewer)
	l.knowledge.learn(session, answer, askedAt)
	if answer.over || l.knowledge.status(session, false) == "ended" {
		return "ended", nil
	}
	return "live", nil
}

func (l *Listener) redisSays(keys []any) []any {
	if time.Now().UnixNano() < l.awayUntil.Load() {
		return nil
	}
	limit := time.After(askLimit)
	answer := make(chan []any, 1)
	select {
	case l.questions <- question{keys, answer}:
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
		for len(batch) < 500 {
			select {
			case next := <-l.questions:
				batch = append(batch, next)
			default:
				break more
			}
		}
		limited, cancel := context.WithTimeout(ctx, askLimit)
		pipeline := l.asking.Pipeline()
		replies := make([]*redis.Cmd, len(batch))
		for index, question := range batch {
			replies[index] = pipeline.Do(limited, question.keys...)
		}
		_, err := pipeline.Exec(limited)
		cancel()
		if err != nil {
			l.awayUntil.Store(time.Now().Add(time.Second).UnixNano())
			l.tell(err)
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

func (l *Listener) skip(entryID, why string) {
	l.skipped.Add(1)
	l.log("stream entry %s: %s", entryID, why)
}

func (l *Listener) reset(why string) {
	l.log("evictions were missed: %s", why)
	l.knowledge.forget()
	l.resets.Add(1)
	if l.onReset != nil {
		go l.onReset()
	}
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
			l.send(final, waiting)
			for _, key := range []string{":instances", ":instances:since"} {
				l.asking.Do(final, "ZREM", l.prefix+key, l.app+"/"+l.worker)
			}
			return
		case item := <-l.done:
			waiting = append(waiting, item)
			if len(waiting) < 500 && len(l.done) > 0 {
				continue
			}
		case <-ticks.C:
			if len(waiting) == 0 && (!l.hears() || time.Since(sentAt) < 2*l.wait) {
				continue
			}
		}
		if waiting = waiting[max(0, len(waiting)-maxWaiting):]; l.send(ctx, waiting) {
			waiting, sentAt = nil, time.Now()
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
	return redis.NewScript(acknowledge).Run(limited, l.asking, keys, arguments...).Err() == nil
}
