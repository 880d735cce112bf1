package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// Open loads the settings of the AWS SDK and returns a Cloud for them. It is an error if some endpoints are on this
// machine and others are not.
func Open(ctx context.Context) (*Cloud, aws.Config, error) { return OpenIn(ctx, "") }

// OpenIn is like Open, but uses region if the settings have none.
func OpenIn(ctx context.Context, region string) (*Cloud, aws.Config, error) {
	cfg, err := loadConfig(ctx, region)
	if err != nil {
		return nil, cfg, err
	}
	c := New(cfg)
	return c, cfg, c.checkEndpoints()
}

// configKey is the context key of [WithConfig].
type configKey struct{}

// WithConfig returns a context in which cfg takes the place of the environment's settings.
func WithConfig(ctx context.Context, cfg aws.Config) context.Context {
	return context.WithValue(ctx, configKey{}, cfg)
}

// LoadConfig loads the settings of the AWS SDK: environment, profiles, roles.
func LoadConfig(ctx context.Context) (aws.Config, error) { return loadConfig(ctx, "") }

func loadConfig(ctx context.Context, region string) (aws.Config, error) {
	if cfg, ok := ctx.Value(configKey{}).(aws.Config); ok {
		return cfg, nil
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return cfg, fmt.Errorf("the AWS settings cannot be read: %w", err)
	}
	if cfg.Region == "" {
		cfg.Region = region
	}
	if cfg.Region == "" {
		return cfg, errors.New("no AWS region is set: set AWS_REGION, such as AWS_REGION=eu-central-1, or a profile")
	}
	cfg.Logger = logging.Nop{} // errors are returned anyway
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return cfg, Explain(fmt.Errorf("%w: %w", ErrNoCredentials, err))
	}
	return cfg, nil
}

// checkEndpoints returns an error if some calls would go to this machine and others to AWS.
func (c *Cloud) checkEndpoints() error {
	byLocality := map[bool][]string{}
	for name, client := range c.clients {
		endpoint, _ := client.MethodByName("Options").Call(nil)[0].FieldByName("BaseEndpoint").Interface().(*string)
		byLocality[IsLocal(endpoint)] = append(byLocality[IsLocal(endpoint)], name)
	}
	local, remote := byLocality[true], byLocality[false]
	slices.Sort(local)
	slices.Sort(remote)
	if len(local) == 0 || len(remote) == 0 {
		return nil
	}
	return fmt.Errorf("the endpoints of %v are on this machine, those of %v are not, which would split the stack: "+
		"unset the AWS_ENDPOINT_URL_… variables, or set AWS_ENDPOINT_URL for all services (look in ~/.aws/config too)",
		local, remote)
}

// IsLocal reports whether an endpoint is on this machine. A nil endpoint is AWS's own, and is not.
func IsLocal(endpoint *string) bool {
	if endpoint == nil {
		return false
	}
	u, err := url.Parse(*endpoint)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// Identity returns the account and the partition of the credentials.
func (c *Cloud) Identity(ctx context.Context) (account, partition string, err error) {
	answer, err := c.Do(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", "", err
	}
	account, _ = Search("Account", answer).(string)
	arn, _ := Search("Arn", answer).(string)
	if parts := strings.Split(arn, ":"); len(parts) > 1 {
		partition = parts[1]
	}
	return account, partition, nil
}
