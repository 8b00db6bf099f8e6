package main

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// What this process knows: L1 to L7, Q3, E3, M5, R4, K1 and K2.

const (
	maxLive  = 100_000 // sessions known to be live; with more, all are asked about again
	maxHeard = 100_000 // names of logouts; with more, all give way, and Redis still has them
	askAgain = 10 * time.Second
)

type name struct{ kind, iss, value string }

type heard struct {
	at      float64
	source  int
	client  *string // nil: for all
	sub     *string // nil: for any
	mixed   bool    // two logouts that differ: only Redis knows
	heardAt time.Time
}

type live struct {
	session Session
	askedAt time.Time
	isNewer bool // Redis notes it as newer than its marks
}

type knowledge struct {
	mutex   sync.Mutex
	heard   map[name]heard
	live    map[string]live
	over    map[uint64]struct{} // hashes, as these are kept; 16 bytes each
	seed    maphash.Seed
	inDoubt bool // from the start: Redis may just have been emptied
}

func newKnowledge() *knowledge {
	return &knowledge{heard: map[name]heard{}, live: map[string]live{}, over: map[uint64]struct{}{}, seed: maphash.MakeSeed(), inDoubt: true}
}

func same(a, b *string) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

func (k *knowledge) note(event Event) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.inDoubt = false
	keep := func(kind, value string, sub *string) {
		mark := heard{at: event.logoutAt, source: event.source, sub: sub, heardAt: time.Now()}
		if event.forClient {
			mark.client = event.client
		}
		key := name{kind, event.iss, value}
		if before, ok := k.heard[key]; ok {
			mark.mixed = before.mixed || !same(before.client, mark.client) || !same(before.sub, mark.sub)
			if before.at > mark.at {
				mark.at, mark.source = before.at, before.source
			}
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
			if named := k.judge(known.session); named.ended(known) {
				k.over[maphash.String(k.seed, identity)] = struct{}{}
			}
		}
		clear(k.live)
		clear(k.heard)
	}
}

// naming is what the logouts heard say of a session; not over: they name it, and only Redis can tell.
type naming struct {
	over bool
	at   time.Time // when the last of them was heard
}

// ended tells whether they end a session that was live before; of one that is newer than its marks only Redis knows.
func (n *naming) ended(known live) bool {
	return n != nil && n.over && !known.isNewer && !known.askedAt.After(n.at)
}

// judge gives nil where none names the session, or it is later by its dates.
func (k *knowledge) judge(s Session) *naming {
	var found *naming
	for _, look := range []struct{ kind, value string }{{"sid", s.sid}, {"sub", s.sub}, {"account", s.account}} {
		mark, ok := k.heard[name{look.kind, s.iss, look.value}]
		if !ok || look.value == "" || !ends(mark.at, mark.source, s, look.kind != "sid") {
			continue
		}
		foreign := mark.mixed || (mark.client != nil && !slices.Contains(s.clients, *mark.client)) || (mark.sub != nil && *mark.sub != s.sub)
		if found == nil {
			found = &naming{}
		}
		found.over = found.over || !foreign
		if mark.heardAt.After(found.at) {
			found.at = mark.heardAt
		}
	}
	return found
}

// looksEnded tells whether what was heard ends a session, unless Redis notes it as newer.
func (k *knowledge) looksEnded(s Session) bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	named := k.judge(s)
	return named != nil && named.over
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
	named := k.judge(s)
	known, ok := k.live[identity]
	if _, over := k.over[hash]; over || (ok && named.ended(known)) {
		k.over[hash] = struct{}{}
		return "ended"
	}
	if !hears || !ok || (named != nil && !known.askedAt.After(named.at)) || (s.account != s.sub && time.Since(known.askedAt) >= askAgain) {
		return "unknown"
	}
	return "live"
}

func (k *knowledge) learn(s Session, answer said, askedAt time.Time) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	identity := s.identity()
	if answer.over {
		k.over[maphash.String(k.seed, identity)] = struct{}{}
		return
	}
	if answer.isNewer {
		delete(k.over, maphash.String(k.seed, identity))
	}
	if k.inDoubt && !answer.hasEpoch {
		return
	}
	k.inDoubt = false
	if len(k.live) >= maxLive {
		clear(k.live)
	}
	k.live[identity] = live{s, askedAt, answer.isNewer}
}
