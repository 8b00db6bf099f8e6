package main

import (
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
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

// object is a JSON object. A struct's members would also be found by names in other letters' case.
type object map[string]any

func (o object) text(name string) *string {
	if text, ok := o[name].(string); ok {
		return &text
	}
	return nil
}

// optional also takes null, and a member that is missing.
func (o object) optional(name string) (*string, bool) {
	text := o.text(name)
	return text, text != nil || o[name] == nil
}

// texts gives an array of strings; false where it is another thing.
func texts(value any) (found []string, ok bool) {
	items, ok := value.([]any)
	for _, item := range items {
		text, isText := item.(string)
		found, ok = append(found, text), ok && isText
	}
	return found, ok
}

// areNamings tells whether these are `sessions` of the right shape.
func areNamings(value any) bool {
	items, ok := value.([]any)
	for _, item := range items {
		naming, _ := item.(map[string]any)
		_, areTexts := texts(naming["keys"])
		ok = ok && areTexts && object(naming).text("client_id") != nil
	}
	return ok || value == nil
}

var (
	wholeNumber = regexp.MustCompile(`^[0-9]{1,12}$`)
	entryNumber = regexp.MustCompile(`^[1-9][0-9]{0,14}$`)
	escapes     = regexp.MustCompile(`\\(u[0-9a-fA-F]{4}|.)`)
)

func readEvent(text string) (Event, error) {
	var read object
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if !utf8.ValidString(text) || hasHalfCharacter(text) {
		return Event{}, errors.New("it is not UTF-8, or has half a character")
	}
	if err := decoder.Decode(&read); err != nil {
		return Event{}, errors.New("it is no JSON object")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Event{}, errors.New("something follows the JSON")
	}
	if kind := read.text("type"); kind == nil || *kind != "logout-receiver.eviction.v1" {
		return Event{}, errors.New("its type is not of this version")
	}
	given, _ := read["data"].(map[string]any)
	data := object(given)
	id, at, iss, scope := read.text("id"), read.text("time"), data.text("iss"), data.text("scope")
	sub, subFits := data.optional("sub")
	sid, sidFits := data.optional("sid")
	client, clientFits := data.optional("client_id")
	appliesTo, appliesFits := data.optional("applies_to")
	input, inputFits := data.optional("input")
	accounts, accountsFit := texts(data["accounts"])
	if id == nil || at == nil || iss == nil || scope == nil || !(subFits && sidFits && clientFits && appliesFits && inputFits && accountsFit) {
		return Event{}, errors.New("a member is missing, or of another type")
	}
	if !areNamings(data["sessions"]) {
		return Event{}, errors.New("sessions are of another shape")
	}
	received, err := time.Parse(time.RFC3339, *at)
	if err != nil || received.Unix() < 0 || float64(received.UnixMilli())/1000 > maxDate {
		return Event{}, errors.New("time is no date")
	}
	number, _ := data["logout_at"].(json.Number)
	logoutAt := numericDate(number)
	if logoutAt == nil || !wholeNumber.MatchString(number.String()) {
		return Event{}, errors.New("logout_at is no date")
	}
	if sub == nil && sid == nil {
		return Event{}, errors.New("it names no user and no session")
	}
	source := ofOP
	if input != nil && *input == "admin" {
		source = ofOrder
		if data["reauthenticate"] == false {
			source = ofOrderOnSessions
		}
	}
	return Event{
		id: *id, iss: *iss, sub: sub, sid: sid, client: client,
		ofUser:    sid == nil || (*scope == "user" && sub != nil),
		forClient: appliesTo != nil && *appliesTo == "client", logoutAt: *logoutAt, source: source,
		receivedMs: received.UnixMilli(), accounts: accounts,
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
