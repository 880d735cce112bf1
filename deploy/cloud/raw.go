package cloud

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
)

// Get reads a path of a REST service. Get and Target serve services that this program uses too little to link their
// SDK clients. They return errors of the SDK's types.
func (c *Cloud) Get(ctx context.Context, service, path string) (answer any, err error) {
	return c.raw(ctx, http.MethodGet, service, path, "", nil)
}

// Target makes a call of a service that takes the operation in the header X-Amz-Target.
func (c *Cloud) Target(ctx context.Context, service, target string, input any) (answer any, err error) {
	body, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	return c.raw(ctx, http.MethodPost, service, "/", target, body)
}

func (c *Cloud) raw(ctx context.Context, method, service, path, target string, body []byte) (answer any, err error) {
	base := "https://" + service + "." + c.cfg.Region + ".amazonaws.com"
	if strings.HasPrefix(c.cfg.Region, "cn-") {
		base += ".cn"
	}
	if c.cfg.BaseEndpoint != nil {
		base = strings.TrimSuffix(*c.cfg.BaseEndpoint, "/")
	}
	r, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	keys, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
		version := "1.1"
		if service == "monitoring" {
			version = "1.0"
		}
		r.Header.Set("Content-Type", "application/x-amz-json-"+version)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, keys, r, hex.EncodeToString(sum[:]), service, c.cfg.Region,
		time.Now()); err != nil {
		return nil, err
	}
	c.calls.Add(1)
	a, err := http.DefaultClient.Do(r) // #nosec G704 -- AWS, or the endpoint of the settings
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(a.Body, maxRaw))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, &answer); a.StatusCode < 300 {
		return answer, err
	}
	kind, _ := Search("__type", answer).(string)
	code := kind[strings.LastIndex(kind, "#")+1:]
	if header, _, _ := strings.Cut(a.Header.Get("X-Amzn-Errortype"), ":"); header != "" {
		code = header
	}
	if code == "" && a.StatusCode == http.StatusNotFound {
		code = "NotFoundException"
	}
	message, _ := Search("message", answer).(string)
	return nil, &smithy.GenericAPIError{Code: code, Message: message, Fault: smithy.FaultUnknown}
}

// maxRaw is the maximum size of an answer in bytes.
const maxRaw = 1 << 20

// IsLocal reports whether the endpoint of the settings is on this machine.
func (c *Cloud) IsLocal() bool { return IsLocal(c.cfg.BaseEndpoint) }
