package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// Sessions and marks: rules M1 to M4, E1, R4, R5 and T2.

const maxDate = 253402300799

// Session is what the ID token received at sign-in says; a date that is not known is nil.
type Session struct {
	iss, sub, sid, account string
	clients                []string
	authTime, iat          *float64
	cached                 bool // what a cached ID token says, whose iat may be a later one
}

func hash(size int, text string) string {
	h, err := blake2b.New(size, nil)
	if err != nil {
		panic(err) // only a size out of bounds
	}
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func digest(kind, iss, value string) string { return hash(12, kind+"\n"+iss+"\n"+value) }

func suffix(client string) string { return "." + hash(6, client) }

func numericDate(value any) *float64 {
	number, ok := value.(json.Number)
	if !ok {
		return nil
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds > maxDate {
		return nil
	}
	return &seconds
}

// newSession reads claims that were decoded with json.Decoder.UseNumber.
func newSession(claims map[string]any, account, own string) (Session, error) {
	text := func(name string) string { value, _ := claims[name].(string); return value }
	session := Session{
		iss: text("iss"), sub: text("sub"), sid: text("sid"), account: account,
		clients: clientsOf(text("azp"), claims["aud"], own), authTime: numericDate(claims["auth_time"]), iat: numericDate(claims["iat"]),
	}
	if session.account == "" {
		session.account = session.sub
	}
	if session.iss == "" || session.sub == "" || len(session.clients) == 0 {
		return session, fmt.Errorf("claims need iss, sub and aud")
	}
	return session, nil
}

func clientsOf(azp string, aud any, own string) []string {
	if azp != "" {
		return []string{azp}
	}
	var named []string
	switch aud := aud.(type) {
	case string:
		named = []string{aud}
	case []any:
		for _, item := range aud {
			if client, ok := item.(string); ok && client != "" && !slices.Contains(named, client) {
				named = append(named, client)
			}
		}
		if slices.Contains(named, own) {
			return []string{own}
		}
	}
	return named
}

func (s Session) identity() string {
	date := func(at *float64) string {
		if at == nil {
			return ""
		}
		return strconv.FormatFloat(*at, 'f', -1, 64)
	}
	// Quoted, as any of them may hold what would part them.
	return fmt.Sprintf("%q %s %s %t", append([]string{s.iss, s.sub, s.sid, s.account}, s.clients...), date(s.authTime), date(s.iat), s.cached)
}

func (s Session) began() *float64 {
	if s.authTime != nil {
		return s.authTime
	}
	return s.iat
}

// look says which marks to read with one MGET: those of the user, those of the session, the epoch, and those it may be newer than.
type look struct {
	session           Session
	names             []string
	ofUser, ofSession int
}

func newLook(s Session) look {
	l := look{session: s}
	suffixes := []string{""}
	for _, client := range s.clients {
		suffixes = append(suffixes, suffix(client))
	}
	add := func(name string) {
		for _, suffix := range suffixes {
			l.names = append(l.names, name+suffix)
		}
	}
	user := digest("sub", s.iss, s.sub)
	add(user)
	if s.account != s.sub {
		add(digest("account", s.iss, s.account))
	}
	l.ofUser = len(l.names)
	if s.sid != "" {
		session := digest("sid", s.iss, s.sid)
		add(session)
		add(session + "+" + user)
	}
	l.ofSession = len(l.names) - l.ofUser
	l.names = append(l.names, "epoch")
	iat := seconds(s.iat)
	if s.cached {
		iat = ""
	}
	for _, client := range s.clients {
		text := strings.Join([]string{client, s.sub, s.sid, seconds(s.authTime), iat}, "\n")
		l.names = append(l.names, "anew:"+digest("anew", s.iss, text))
	}
	return l
}

func seconds(at *float64) string {
	if at == nil {
		return ""
	}
	return strconv.FormatFloat(math.RoundToEven(*at), 'f', 0, 64)
}

// Whose date a mark has: R5.
const (
	ofOP = iota
	ofOrder
	ofOrderOnSessions
)

// clockSkew is how many seconds the clocks of OP and receiver may differ: the one dates sign-ins, the other orders.
const clockSkew = 60

type mark struct {
	value, at float64 // the value grows with every logout
	source    int
}

var markForm = regexp.MustCompile(`^([0-9]+)(?:\.(?:[0-9]{3}([012]))?[0-9]*)?$`)

// readMark gives nil where there is none, or no date in it.
func readMark(given any) *mark {
	text, _ := given.(string)
	found := markForm.FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	at := numericDate(json.Number(found[1]))
	value, err := strconv.ParseFloat(text, 64)
	if at == nil || err != nil {
		return nil
	}
	source, _ := strconv.Atoi(found[2])
	return &mark{value, *at, source}
}

// ends tells whether a logout ends a session; one of unknown age is over.
func ends(at float64, source int, s Session, ofUser bool) bool {
	began := s.authTime
	if source == ofOrderOnSessions {
		began = s.given()
	} else if ofUser {
		began = s.began()
	}
	if source != ofOP {
		at += clockSkew
	}
	return began == nil || *began <= at
}

func (s Session) given() *float64 {
	if s.iat != nil {
		return s.iat
	}
	return s.authTime
}

// inFlight is how many seconds after a logout tokens may be the answer to a refresh that was under way.
const inFlight = 120

// mayBeRefreshed tells of tokens without auth_time whether they may be of before a logout of the user; cachedAt may be nil.
func mayBeRefreshed(userAt float64, iat, cachedAt *float64) bool {
	if cachedAt != nil && *cachedAt < userAt {
		return true
	}
	newest := iat
	if newest == nil {
		newest = cachedAt
	}
	return newest == nil || *newest <= userAt+inFlight
}

// said is what Redis says of a session.
type said struct {
	over, isNewer, hasEpoch bool
	userAt                  float64 // of the latest mark of the user; negative: none
}

func (l look) answer(values []any) said {
	epochAt := l.ofUser + l.ofSession
	answer, newerThan := said{hasEpoch: values[epochAt] != nil, userAt: -1}, -1.0
	for _, value := range values[epochAt+1:] {
		if noted := readMark(value); noted != nil {
			answer.isNewer, newerThan = true, max(newerThan, noted.value)
		}
	}
	for index, value := range values[:epochAt+1] {
		found := readMark(value)
		if found == nil || found.value <= newerThan {
			continue
		}
		if index == epochAt {
			given := l.session.given()
			answer.over = answer.over || (given != nil && *given < found.at)
		} else {
			answer.over = answer.over || ends(found.at, found.source, l.session, index < l.ofUser)
			if index < l.ofUser {
				answer.userAt = max(answer.userAt, found.at)
			}
		}
	}
	return answer
}
