package dynamo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"example.com/portable-notes/notes"
)

// An item is a note, the tombstone of a deleted note, or a used idempotency key. Attribute names count towards an
// item's size and price, so most have one letter:
//
//	pk  partition key: O# and the owner
//	sk  sort key: N# and a note's id in hex, or I# and an idempotency key
//	v   version of a note; tombstones and keys have none
//	t b g  title, content ("body") and tags of a note
//	c u creation and last change of a note, in Unix microseconds; a key has c only
//	w   token of the last write
//	k   expiry of the key, or of the key that a note was created with, in Unix microseconds
//	i r id of the note that a key created, and hash of the request
//	e   when DynamoDB may remove the item, in Unix seconds (the table's time to live); it may take days longer
type item map[string]types.AttributeValue

// values are the attribute values of an expression.
type values = map[string]types.AttributeValue

const (
	ownerPrefix   = "O#"
	notePrefix    = "N#"
	usedKeyPrefix = "I#"
)

func partition(owner string) string { return ownerPrefix + owner }

func sortKey(id notes.ID) string { return notePrefix + hex.EncodeToString(id[:]) }

func noteKey(owner string, id notes.ID) item {
	return item{"pk": text(partition(owner)), "sk": text(sortKey(id))}
}

// predecessor returns the largest id that is less than id. It reports false for the zero id.
func predecessor(id notes.ID) (notes.ID, bool) {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]--; id[i] != 0xff {
			return id, true
		}
	}
	return id, false
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func bin(b []byte) types.AttributeValue  { return &types.AttributeValueMemberB{Value: b} }
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
func micros(t time.Time) types.AttributeValue {
	return number(t.UnixMicro())
}

func texts(all []string) types.AttributeValue {
	list := make([]types.AttributeValue, len(all))
	for i, s := range all {
		list[i] = text(s)
	}
	return &types.AttributeValueMemberL{Value: list}
}

// noteItem returns the item of a note. KeyExpires is the expiry of the key that it is created with, nil for none.
func noteItem(owner string, n notes.Note, keyExpires *time.Time, token []byte) item {
	it := noteKey(owner, n.ID)
	it["v"] = number(n.Version)
	it["c"], it["u"] = micros(n.CreatedAt), micros(n.UpdatedAt)
	it["t"], it["b"] = text(n.Title), text(n.Content)
	if len(n.Tags) > 0 {
		it["g"] = texts(n.Tags)
	}
	it["w"] = bin(token)
	if keyExpires != nil {
		it["k"] = micros(*keyExpires)
	}
	return it
}

// tombstone returns the item that replaces a deleted note until the key that it was created with has expired.
func tombstone(owner string, id notes.ID, expires time.Time, token []byte) item {
	it := noteKey(owner, id)
	it["k"], it["e"], it["w"] = micros(expires), number(expires.Add(tombstoneGrace).Unix()+1), bin(token)
	return it
}

func usedKeyItem(owner, key string, o notes.UsedKey) item {
	it := item{"pk": text(partition(owner)), "sk": text(usedKeyPrefix + key)}
	it["i"], it["r"] = bin(o.ID[:]), bin(o.Request[:])
	it["c"], it["k"], it["e"] = micros(o.Created), micros(o.Expires), number(o.Expires.Unix()+1)
	return it
}

func decodeUsedKey(it item) (notes.UsedKey, error) {
	r := reader{item: it}
	o := notes.UsedKey{Created: r.time("c"), Expires: r.time("k")}
	copy(o.ID[:], r.bytes("i", len(o.ID)))
	copy(o.Request[:], r.bytes("r", len(o.Request)))
	return o, r.err
}

// note returns the note in an item, or notes.ErrNotFound if the item is nil or a tombstone.
func (it item) note() (notes.Note, error) {
	if it["v"] == nil {
		return notes.Note{}, notes.ErrNotFound
	}
	r := reader{item: it}
	n := notes.Note{
		Version: r.number("v"), Title: r.text("t"), Content: r.text("b"), Tags: r.texts("g"),
		CreatedAt: r.time("c"), UpdatedAt: r.time("u"),
	}
	n.ID = r.id()
	return n, r.err
}

// id returns the id in the item of a note or a tombstone.
func (it item) id() (notes.ID, error) {
	r := reader{item: it}
	id := r.id()
	return id, r.err
}

// keyExpires returns the expiry of the key that a note was created with, or nil if there is none.
func (it item) keyExpires() *time.Time {
	if it["v"] == nil || it["k"] == nil {
		return nil
	}
	r := reader{item: it}
	t := r.time("k")
	return &t
}

// hasToken reports whether the item's last write stored this token.
func (it item) hasToken(token []byte) bool {
	w, ok := it["w"].(*types.AttributeValueMemberB)
	return ok && bytes.Equal(w.Value, token)
}

var errForeignItem = errors.New("an item in the table was not written by this service")

// reader decodes an item. Its err is about the first invalid attribute.
type reader struct {
	item item
	err  error
}

func (r *reader) fail(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: attribute %s", errForeignItem, name)
	}
}

func (r *reader) text(name string) string {
	s, ok := r.item[name].(*types.AttributeValueMemberS)
	if !ok {
		r.fail(name)
		return ""
	}
	return s.Value
}

func (r *reader) number(name string) int64 {
	var n int64
	v, ok := r.item[name].(*types.AttributeValueMemberN)
	if ok {
		var err error
		n, err = strconv.ParseInt(v.Value, 10, 64)
		ok = err == nil
	}
	if !ok {
		r.fail(name)
	}
	return n
}

func (r *reader) id() (id notes.ID) {
	digits, isNote := strings.CutPrefix(r.text("sk"), notePrefix)
	b, err := hex.DecodeString(digits)
	if !isNote || err != nil || len(b) != len(id) {
		r.fail("sk")
	}
	copy(id[:], b)
	return id
}

func (r *reader) time(name string) time.Time { return time.UnixMicro(r.number(name)).UTC() }

func (r *reader) bytes(name string, size int) []byte {
	b, ok := r.item[name].(*types.AttributeValueMemberB)
	if !ok || len(b.Value) != size {
		r.fail(name)
		return nil
	}
	return b.Value
}

// texts returns a list of strings, or nil if the attribute is absent.
func (r *reader) texts(name string) []string {
	if r.item[name] == nil {
		return nil
	}
	list, ok := r.item[name].(*types.AttributeValueMemberL)
	if !ok {
		r.fail(name)
		return nil
	}
	all := make([]string, len(list.Value))
	for i, v := range list.Value {
		s, ok := v.(*types.AttributeValueMemberS)
		if !ok {
			r.fail(name)
			return nil
		}
		all[i] = s.Value
	}
	return all
}
