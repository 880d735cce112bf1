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

// An item is a note, the tombstone of one, or the record of an idempotency key. Names count towards an item's size and
// so its price, hence one letter each:
//
//	pk  the partition: O# and the owner
//	sk  the place in it: N# and a note's id in hex, or I# and an idempotency key
//	v   the note's version; what has none is no note (a tombstone, a key)
//	t b g  title, content ("body"), tags
//	c u times of creation and of the last change, in microseconds since 1970
//	w   the token of the last write
//	k   until when the idempotency key is remembered, in microseconds; of a note, that of the key that made it
//	i r the note that a key made, and the hash of its request
//	e   when DynamoDB may remove the item, in seconds since 1970 (the table's time to live); it may do so days later
type item map[string]types.AttributeValue

// values are those of an expression.
type values = map[string]types.AttributeValue

const (
	ownerPrefix = "O#"
	notePrefix  = "N#"
	oncePrefix  = "I#"
)

func partition(owner string) string { return ownerPrefix + owner }

func sortKey(id notes.ID) string { return notePrefix + hex.EncodeToString(id[:]) }

func noteKey(owner string, id notes.ID) item {
	return item{"pk": text(partition(owner)), "sk": text(sortKey(id))}
}

// below is the greatest id that is smaller than another, if there is one.
func below(id notes.ID) (notes.ID, bool) {
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

// noteItem is a note, with the expiry of the key that it is made with, if any.
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

// tombstone keeps the place of a deleted note until the key that it was made with expires.
func tombstone(owner string, id notes.ID, expires time.Time, token []byte) item {
	it := noteKey(owner, id)
	it["k"], it["e"], it["w"] = micros(expires), number(expires.Add(grace).Unix()+1), bin(token)
	return it
}

func onceKey(owner, key string) item {
	return item{"pk": text(partition(owner)), "sk": text(oncePrefix + key)}
}

func onceItem(owner, key string, o notes.UsedKey) item {
	it := onceKey(owner, key)
	it["i"], it["r"] = bin(o.ID[:]), bin(o.Request[:])
	it["c"], it["k"], it["e"] = micros(o.Created), micros(o.Expires), number(o.Expires.Unix()+1)
	return it
}

func decodeOnce(it item) (notes.UsedKey, error) {
	r := reader{item: it}
	o := notes.UsedKey{Created: r.time("c"), Expires: r.time("k")}
	copy(o.ID[:], r.bytes("i", len(o.ID)))
	copy(o.Request[:], r.bytes("r", len(o.Request)))
	return o, r.err
}

// note is the note that an item holds: notes.ErrNotFound for none, or a tombstone.
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

// id returns the id of the note that an item holds, or of the note whose place a tombstone keeps.
func (it item) id() (notes.ID, error) {
	r := reader{item: it}
	id := r.id()
	return id, r.err
}

// keyExpires is until when the key is remembered that a note was made with; nil for a note without.
func (it item) keyExpires() *time.Time {
	if it["v"] == nil || it["k"] == nil {
		return nil
	}
	r := reader{item: it}
	t := r.time("k")
	return &t
}

// wroteBy reports whether the last write of the item left this token.
func (it item) wroteBy(token []byte) bool {
	w, ok := it["w"].(*types.AttributeValueMemberB)
	return ok && bytes.Equal(w.Value, token)
}

var errForeignItem = errors.New("an item of the table is none that this service writes")

// reader takes an item apart; err names the first attribute that is not as it must be.
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

// texts is a list of strings; an absent one is empty.
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
