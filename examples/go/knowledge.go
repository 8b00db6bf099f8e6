package main

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// What this process knows: L1 to L7, Q3, E3, M5, K1 and K2.

const (
	maxLive  = 100_000 // sessions known to be live; with more, all are asked about again
	maxHeard = 100_000 // names of logouts; with more, all give way, and Redis still has them
	askAgain = 10 * time.Second
)

type name struct{ kind, iss, value string }

type heard struct {
	at     float64
	client *string // nil: for all
	sub    *string // nil: for any
	mixed  bool    // two logouts that differ: only Redis knows
}

type live struct {
	session Session
	askedAt time.Time
}

type knowledge struct {
	mutex   sync.Mutex
	heard   map[name]heard
	live    map[string]live
	over    map[uint64]struct{} // hashes, as these are kept; 16 bytes each
	seed    maphash.Seed
	inDoubt bool
}

func newKnowledge() *knowledge {
	return &knowledge{heard: map[name]heard{}, live: map[string]live{}, over: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
}

func same(a, b *string) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

func (k *knowledge) note(event Event) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.inDoubt = false
	keep := func(kind, value string, sub *string) {
		mark := heard{at: event.logoutAt, sub: sub}
		if event.forClient {
			mark.client = event.client
		}
		key := name{kind, event.iss, value}
		if before, ok := k.heard[key]; ok {
			mark.mixed = before.mixed || !same(before.client, mark.client) || !same(before.sub, mark.sub)
			mark.at = max(mark.at, before.at)
		}
		k.heard[key] = mark
	}
	if event.sid != nil {
		keep("sid", *event.sid, event.sub)
	}
	if event.ofUser {
		if event.sub != nil {
			keep("sub", *event.sub, nil)
		}
		for _, account := range event.accounts {
			keep("account", account, nil)
		}
	}
	if len(k.heard) > maxHeard {
		for identity, known := range k.live {
			if k.judge(known.session) == "ended" {
				k.over[maphash.String(k.seed, identity)] = struct{}{}
			}
		}
		clear(k.live)
		clear(k.heard)
	}
}

// judge says ended, ask, or unknown, from the logouts heard.
func (k *knowledge) judge(s Session) string {
	answer := "unknown"
	for _, look := range []struct {
		kind, value string
		began       *float64
	}{{"sid", s.sid, s.authTime}, {"sub", s.sub, s.began()}, {"account", s.account, s.began()}} {
		mark, ok := k.heard[name{look.kind, s.iss, look.value}]
		if !ok || look.value == "" || !isOver(mark.at, look.began) {
			continue
		}
		foreign := mark.mixed || (mark.client != nil && !slices.Contains(s.clients, *mark.client)) || (mark.sub != nil && *mark.sub != s.sub)
		if !foreign {
			return "ended"
		}
		answer = "ask"
	}
	return answer
}

func (k *knowledge) forget() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	clear(k.live)
	k.inDoubt = true
}

func (k *knowledge) status(s Session, hears bool) string {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	identity := s.identity()
	hash := maphash.String(k.seed, identity)
	answer := k.judge(s)
	if _, over := k.over[hash]; over || answer == "ended" {
		k.over[hash] = struct{}{}
		return "ended"
	}
	known, ok := k.live[identity]
	if answer == "ask" || !hears || !ok || (s.account != s.sub && time.Since(known.askedAt) >= askAgain) {
		return "unknown"
	}
	return "live"
}

func (k *knowledge) learn(s Session, over, hasEpoch bool, askedAt time.Time) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	identity := s.identity()
	if over {
		k.over[maphash.String(k.seed, identity)] = struct{}{}
		return
	}
	if k.inDoubt && !hasEpoch {
		return
	}
	k.inDoubt = false
	if len(k.live) >= maxLive {
		clear(k.live)
	}
	k.live[identity] = live{s, askedAt}
}
