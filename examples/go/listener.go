package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crypto/rand"

	"github.com/redis/go-redis/v9"
)

// Options of a listener. OnEviction and OnReset may be nil.
type Options struct {
	URL, Prefix, App, ClientID string
	Wait                       time.Duration
	OnEviction                 func(context.Context, Event) error
	OnReset                    func()
	// RefuseUnknown: what Allows says of a session that neither this process nor Redis can tell.
	RefuseUnknown bool
	Log           func(format string, arguments ...any)
}

// Listener refuses sessions that are over.
type Listener struct {
	prefix, app, clientID, worker string
	wait                          time.Duration
	onEviction                    func(context.Context, Event) error
	onReset                       func()
	log                           func(format string, arguments ...any)
	refuseUnknown                 bool
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
	asking                atomic.Pointer[redis.Client]
	questions             chan question
	cleared, done         chan handled
	ended                 <-chan struct{}
	stop                  context.CancelFunc
	running, acknowledger sync.WaitGroup
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
		refuseUnknown: o.RefuseUnknown,
		worker:        fmt.Sprintf("%s-%d-%s", strings.ReplaceAll(host, "/", "-"), os.Getpid(), rand.Text()[:6]),
		options:       options, knowledge: newKnowledge(), questions: make(chan question),
		cleared: make(chan handled, maxWaiting), done: make(chan handled, maxWaiting),
	}, nil
}

// Start begins to listen; it waits for nothing.
func (l *Listener) Start() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop, l.ended, l.beganAt = stop, ctx.Done(), time.Now()
	l.open()
	choice := "served"
	if l.refuseUnknown {
		choice = "refused"
	}
	l.log("%s: listening for logouts; unknown sessions are %s", l.app, choice)
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

// Stop says goodbye; it takes a few seconds at most. What only Redis could tell is unknown from then on.
func (l *Listener) Stop() {
	l.stop()
	l.acknowledger.Wait()
	l.asking.Load().Close()
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
	return l.askRedis(session, func(said) bool { return false }), nil
}

// Allows tells whether a request, or tokens, of that status go on: the app's choice where it is unknown.
func (l *Listener) Allows(status string) bool {
	return status == "live" || (status == "unknown" && !l.refuseUnknown)
}

// TokenStatus tells whether cached tokens may be used, or stored. The claims are those of the ID token beside them, which may
// be a renewed one; cachedAt is when the oldest was cached, or nil.
func (l *Listener) TokenStatus(claims map[string]any, account string, cachedAt *float64) (string, error) {
	session, err := newSession(claims, account, l.clientID)
	if err != nil {
		return "", err
	}
	session.cached = true
	known := l.knowledge.status(session, l.hears())
	// Without auth_time it is told by the date of the mark, which only Redis has.
	if known == "ended" || (known == "live" && session.authTime != nil) {
		return known, nil
	}
	return l.askRedis(session, func(answer said) bool {
		return session.authTime == nil && answer.userAt >= 0 && mayBeRefreshed(answer.userAt, session.iat, cachedAt)
	}), nil
}

func (l *Listener) askRedis(session Session, isOver func(said) bool) string {
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
			return "ended"
		}
		return "unknown"
	}
	answer := look.answer(values)
	if isOver(answer) {
		return "ended"
	}
	answer.over = answer.over || (looksEnded && !answer.isNewer)
	l.knowledge.learn(session, answer, askedAt)
	if answer.over || l.knowledge.status(session, false) == "ended" {
		return "ended"
	}
	return "live"
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
