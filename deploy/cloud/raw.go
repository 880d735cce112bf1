package cloud

import (
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

// Get reads a resource of a service that has paths for them, and of which this program needs so little that the SDK's
// client is not worth its size. An error of the service is one as those of the SDK.
func (c *Cloud) Get(ctx context.Context, service, path string) (answer any, err error) {
	base := "https://" + service + "." + c.cfg.Region + ".amazonaws.com"
	if strings.HasPrefix(c.cfg.Region, "cn-") {
		base += ".cn"
	}
	if c.cfg.BaseEndpoint != nil {
		base = strings.TrimSuffix(*c.cfg.BaseEndpoint, "/")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return nil, err
	}
	keys, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	empty := sha256.Sum256(nil)
	r.Header.Set("Accept", "application/json")
	if err := v4.NewSigner().SignHTTP(ctx, keys, r, hex.EncodeToString(empty[:]), service, c.cfg.Region,
		time.Now()); err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(r) // #nosec G704 -- AWS, or where the settings say
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &answer); a.StatusCode < 300 {
		return answer, err
	}
	code, _, _ := strings.Cut(a.Header.Get("X-Amzn-Errortype"), ":")
	if code == "" && a.StatusCode == http.StatusNotFound {
		code = "NotFoundException"
	}
	message, _ := Search("message", answer).(string)
	return nil, &smithy.GenericAPIError{Code: code, Message: message, Fault: smithy.FaultUnknown}
}

// IsLocal reports whether the endpoint of the settings is on this machine.
func (c *Cloud) IsLocal() bool { return IsLocal(c.cfg.BaseEndpoint) }
