package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go/encoding/cbor"
)

// isCBOR reports whether a call uses the protocol Smithy RPC v2 CBOR, which moto does not support
// (https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html).
func (c *call) isCBOR() bool { return c.Header.Get("Smithy-Protocol") == "rpc-v2-cbor" }

// cborOperation returns the operation in the path of a CBOR call.
func cborOperation(path string) string {
	_, operation, _ := strings.Cut(path, "/operation/")
	return operation
}

// forwardCBOR passes a CBOR call to moto as JSON, and returns the answer as CBOR.
func (s *Sandbox) forwardCBOR(c *call) answer {
	in, err := cbor.Decode(c.body)
	if err != nil && len(c.body) > 0 {
		return c.refuse(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	service := strings.Split(strings.TrimPrefix(c.URL.Path, "/service/"), "/")[0]
	header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {service + "." + c.Operation},
		"Authorization": c.Header["Authorization"], "Host": c.Header["Host"]}
	a, err := s.moto.do(c.Context(), http.MethodPost, "/", header, jsonAnswer(0, fromCBOR(in)).body)
	if err != nil {
		return c.refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "%v", err)
	}
	var out any
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		out = map[string]any{}
	}
	return answer{status: a.status, header: cborHeader(), body: cbor.Encode(toCBOR("", out))}
}

func cborHeader() http.Header {
	return http.Header{"Content-Type": {"application/cbor"}, "Smithy-Protocol": {"rpc-v2-cbor"}}
}

// fromCBOR converts a CBOR value to one that JSON can encode.
func fromCBOR(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Uint:
		return uint64(v)
	case cbor.NegInt:
		return -int64(v) // #nosec G115 -- no API uses larger numbers
	case cbor.String:
		return string(v)
	case cbor.Slice:
		return []byte(v)
	case cbor.Bool:
		return bool(v)
	case cbor.Float32:
		return float32(v)
	case cbor.Float64:
		return float64(v)
	case *cbor.Tag: // a time
		return fromCBOR(v.Value)
	case cbor.List:
		all := []any{}
		for _, one := range v {
			all = append(all, fromCBOR(one))
		}
		return all
	case cbor.Map:
		fields := map[string]any{}
		for name, one := range v {
			fields[name] = fromCBOR(one)
		}
		return fields
	}
	return nil
}

// toCBOR converts a value of JSON to CBOR. A number whose name begins with Timestamp becomes a time.
func toCBOR(name string, v any) cbor.Value {
	switch v := v.(type) {
	case json.Number:
		number, _ := v.Float64() // moto's numbers are valid
		if strings.HasPrefix(name, "Timestamp") {
			return &cbor.Tag{ID: 1, Value: cbor.Float64(number)}
		}
		if whole, err := v.Int64(); err == nil && whole >= 0 && !strings.HasPrefix(name, "Values") {
			return cbor.Uint(whole)
		}
		return cbor.Float64(number)
	case string:
		return cbor.String(v)
	case bool:
		return cbor.Bool(v)
	case []any:
		all := cbor.List{}
		for _, one := range v {
			all = append(all, toCBOR(name, one))
		}
		return all
	case map[string]any:
		fields := cbor.Map{}
		for name, one := range v {
			fields[name] = toCBOR(name, one)
		}
		return fields
	case nil:
		return &cbor.Nil{}
	}
	return cbor.String(fmt.Sprint(v))
}
