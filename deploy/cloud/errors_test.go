package cloud

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
)

// TestAdvice checks that each row of the table matches its own errors and no others.
func TestAdvice(t *testing.T) {
	api := func(code, message string) error {
		return fmt.Errorf("operation error: %w", &smithy.GenericAPIError{Code: code, Message: message})
	}
	for _, c := range []struct {
		err  error
		want string // name of the row, or ""
	}{
		{api("ExpiredToken", ""), "expired"},
		{api("ExpiredTokenException", ""), "expired"},
		{api("InvalidClientTokenId", ""), "unknown"},
		{api("UnrecognizedClientException", ""), "unknown"},
		{api("SignatureDoesNotMatch", ""), "unknown"},
		{api("InvalidSignatureException", ""), "unknown"},
		{api("BadRequestException", "Insufficient permissions to enable logging"), "no access log"},
		{api("BadRequestException", "other"), ""},
		{api("NoSuchEntity", "Policy arn:aws:iam::1:policy/x does not exist or is not attachable."), "no boundary"},
		{api("NoSuchEntity", "The role with name x cannot be found."), ""},
		{api("AccessDenied", ""), "may not"},
		{api("AccessDeniedException", ""), "may not"},
		{fmt.Errorf("dial: %w", &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}), "no host"},
		{fmt.Errorf("dial: %w", &net.DNSError{Err: "timeout", Name: "x", IsTimeout: true}), ""},
		{fmt.Errorf("%w: %w", ErrNoCredentials, &ssocreds.InvalidTokenError{Err: errors.New("expired")}),
			"single sign-on"},
		{api("UnauthorizedException", "Session token not found or invalid"), "single sign-on"},
		{fmt.Errorf("%w: no IMDS", ErrNoCredentials), "no credentials"},
		{api("ResourceConflictException", "the resource is associated with another"), ""}, // "sso" is in "associated"
		{errors.New("no such host, SSO, get credentials"), ""},
	} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			got := Explain(c.err)
			if !errors.Is(got, c.err) {
				t.Errorf("%v does not wrap the error", got)
			}
			for _, row := range advice {
				if given := strings.HasPrefix(got.Error(), row.text); given != (row.name == c.want) {
					t.Errorf("the advice is %q, want the row %q", got, c.want)
				}
			}
		})
	}
	if Explain(nil) != nil {
		t.Error("Explain(nil) is not nil")
	}
}
