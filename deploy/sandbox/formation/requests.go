package formation

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/aws/smithy-go"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/template"
)

// caller makes calls of services for which package cloud has no client.
type caller struct{ endpoint, key, region string }

// askS3 sends a request to S3, and returns the body of a successful answer.
func (c caller) askS3(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	return c.send(ctx, "s3", method, path, http.Header{}, body)
}

// askJSON calls an operation of a service with a JSON protocol, and returns its answer. The target is its X-Amz-Target.
func (c caller) askJSON(ctx context.Context, service, target string, in fields) (out fields, err error) {
	text, err := c.send(ctx, service, http.MethodPost, "/", http.Header{"X-Amz-Target": {target},
		"Content-Type": {"application/x-amz-json-1.1"}}, []byte(asJSON(in)))
	if err != nil || len(text) == 0 {
		return nil, err
	}
	return out, json.Unmarshal(text, &out)
}

func (c caller) send(ctx context.Context, service, method, path string, header http.Header, body []byte) ([]byte,
	error) {
	r, err := http.NewRequestWithContext(ctx, method, c.endpoint+path,
		bytes.NewReader(body)) // #nosec G704 -- to our own sandbox
	if err != nil {
		return nil, err
	}
	r.Header = header
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.key+"/20200101/"+c.region+"/"+service+
		"/aws4_request, SignedHeaders=host, Signature=none") // the sandbox checks none
	a, err := http.DefaultClient.Do(r) // #nosec G704 -- to our own sandbox
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(a.Body, template.MaxSize+1))
	if err == nil && a.StatusCode >= 300 {
		var failure struct { // of S3, and of JSON protocols
			Code    string `json:"__type"`
			Message string `json:"message"`
		}
		_, _ = xml.Unmarshal(text, &failure), json.Unmarshal(text, &failure)
		err = &smithy.GenericAPIError{Code: cmp.Or(failure.Code, fmt.Sprint(a.StatusCode)), Message: failure.Message}
	}
	return text, err
}

// isGone reports whether a resource that is to be deleted does not exist.
func isGone(err error) bool {
	return cloud.IsNotFound(err) || slices.Contains([]string{"NoSuchBucket", "NoSuchBucketPolicy", "ParameterNotFound",
		"RepositoryNotFoundException"}, cloud.Code(err))
}
