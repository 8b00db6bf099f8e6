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

// Sessions and marks: rules M1 to M4 and E1.

const maxDate = 253402300799

// Session is what the ID token received at sign-in says; a date that is not known is nil.
type Session struct {
	iss, sub, sid, account string
	clients                []string
	authTime, iat          *float64
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
	return strings.Join([]string{s.iss, s.sub, s.sid, s.account, date(s.authTime), date(s.iat), strings.Join(s.clients, "\r")}, "\n")
}

func (s Session) began() *float64 {
	if s.authTime != nil {
		return s.authTime
	}
	return s.iat
}

// marks are the names of the marks that may end the session, those of the user first, and the epoch, last.
func (s Session) marks() (names []string, ofUser int) {
	suffixes := []string{""}
	for _, client := range s.clients {
		suffixes = append(suffixes, suffix(client))
	}
	add := func(name string) {
		for _, suffix := range suffixes {
			names = append(names, name+suffix)
		}
	}
	user := digest("sub", s.iss, s.sub)
	add(user)
	if s.account != s.sub {
		add(digest("account", s.iss, s.account))
	}
	ofUser = len(names)
	if s.sid != "" {
		session := digest("sid", s.iss, s.sid)
		add(session)
		add(session + "+" + user)
	}
	return append(names, "epoch"), ofUser
}

var decimal = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

func markDate(value any) *float64 {
	text, ok := value.(string)
	if !ok || !decimal.MatchString(text) {
		return nil
	}
	return numericDate(json.Number(text))
}

func isOver(at float64, began *float64) bool { return began == nil || *began <= at }

func (s Session) isEndedBy(values []any, ofUser int) bool {
	last := len(values) - 1
	given := s.iat
	if given == nil {
		given = s.authTime
	}
	if epoch := markDate(values[last]); epoch != nil && given != nil && *given < *epoch {
		return true
	}
	for index, value := range values[:last] {
		began := s.authTime
		if index < ofUser {
			began = s.began()
		}
		if at := markDate(value); at != nil && !math.IsNaN(*at) && isOver(*at, began) {
			return true
		}
	}
	return false
}
