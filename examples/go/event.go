package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Entries of the stream: rules B1, B2 and S4.

// Event is what a listener needs of one; sub, sid and client are nil where null.
type Event struct {
	id, iss          string
	sub, sid, client *string
	ofUser           bool
	forClient        bool
	logoutAt         float64
	source           int // whose date it is
	receivedMs       int64
	accounts         []string
}

type wire struct {
	Type *string `json:"type"`
	ID   *string `json:"id"`
	Time *string `json:"time"`
	Data *struct {
		Iss       *string      `json:"iss"`
		Sub       *string      `json:"sub"`
		Sid       *string      `json:"sid"`
		ClientID  *string      `json:"client_id"`
		Scope     *string      `json:"scope"`
		AppliesTo *string      `json:"applies_to"`
		LogoutAt  json.Number  `json:"logout_at"`
		Accounts  *[]string    `json:"accounts"`
		Input     string       `json:"input"`
		Again     *bool        `json:"reauthenticate"`
		Sessions  []wireNaming `json:"sessions"`
	} `json:"data"`
}

type wireNaming struct {
	ClientID *string   `json:"client_id"`
	Keys     *[]string `json:"keys"`
}

var (
	wholeNumber = regexp.MustCompile(`^[0-9]{1,12}$`)
	entryNumber = regexp.MustCompile(`^[1-9][0-9]{0,14}$`)
	escapes     = regexp.MustCompile(`\\(u[0-9a-fA-F]{4}|.)`)
)

func readEvent(text string) (Event, error) {
	var read wire
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	if !utf8.ValidString(text) || hasHalfCharacter(text) {
		return Event{}, errors.New("it is not UTF-8, or has half a character")
	}
	if err := decoder.Decode(&read); err != nil {
		return Event{}, errors.New("it is no JSON object of the right types")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Event{}, errors.New("something follows the JSON")
	}
	if read.Type == nil || *read.Type != "logout-receiver.eviction.v1" {
		return Event{}, errors.New("its type is not of this version")
	}
	data := read.Data
	if read.ID == nil || read.Time == nil || data == nil || data.Iss == nil || data.Scope == nil || data.Accounts == nil {
		return Event{}, errors.New("a member is missing")
	}
	for _, naming := range data.Sessions {
		if naming.ClientID == nil || naming.Keys == nil {
			return Event{}, errors.New("sessions are of another shape")
		}
	}
	received, err := time.Parse(time.RFC3339, *read.Time)
	if err != nil || received.Unix() < 0 || float64(received.UnixMilli())/1000 > maxDate {
		return Event{}, errors.New("time is no date")
	}
	at := numericDate(data.LogoutAt)
	if at == nil || !wholeNumber.MatchString(data.LogoutAt.String()) {
		return Event{}, errors.New("logout_at is no date")
	}
	if data.Sub == nil && data.Sid == nil {
		return Event{}, errors.New("it names no user and no session")
	}
	source := ofOP
	if data.Input == "admin" {
		source = ofOrder
		if data.Again != nil && !*data.Again {
			source = ofOrderOnSessions
		}
	}
	return Event{
		id: *read.ID, iss: *data.Iss, sub: data.Sub, sid: data.Sid, client: data.ClientID,
		ofUser:    data.Sid == nil || (*data.Scope == "user" && data.Sub != nil),
		forClient: data.AppliesTo != nil && *data.AppliesTo == "client", logoutAt: *at, source: source,
		receivedMs: received.UnixMilli(), accounts: *data.Accounts,
	}, nil
}

// hasHalfCharacter tells whether an escape is half of a surrogate pair, which encoding/json would replace.
func hasHalfCharacter(text string) bool {
	matches := escapes.FindAllStringSubmatchIndex(text, -1)
	for index := 0; index < len(matches); index++ {
		code := func(at int) rune {
			if at >= len(matches) || text[matches[at][2]] != 'u' || matches[at][3]-matches[at][2] != 5 {
				return 0
			}
			value, _ := strconv.ParseUint(text[matches[at][2]+1:matches[at][3]], 16, 32)
			return rune(value)
		}
		if !utf16.IsSurrogate(code(index)) {
			continue
		}
		follows := index+1 < len(matches) && matches[index+1][0] == matches[index][1]
		if !follows || utf16.DecodeRune(code(index), code(index+1)) == utf8.RuneError {
			return true
		}
		index++
	}
	return false
}

// readNumber gives 0 for what is no number.
func readNumber(value any) int64 {
	text, ok := value.(string)
	if !ok || !entryNumber.MatchString(text) {
		return 0
	}
	number, _ := strconv.ParseInt(text, 10, 64)
	return number
}
