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

// Open reads the settings of the AWS SDK and returns a cloud for them. It is an error if some endpoints are on this
// machine and others are not.
func Open(ctx context.Context) (*Cloud, aws.Config, error) { return OpenIn(ctx, "") }

// OpenIn is as Open, with a region for settings that have none.
func OpenIn(ctx context.Context, region string) (*Cloud, aws.Config, error) {
	cfg, err := loadConfig(ctx, region)
	if err != nil {
		return nil, cfg, err
	}
	c := New(cfg)
	return c, cfg, c.checkEndpoints()
}

// configKey is the key of a context for settings that are given.
type configKey struct{}

// WithConfig returns a context in which cfg are the settings, whatever the environment says.
func WithConfig(ctx context.Context, cfg aws.Config) context.Context {
	return context.WithValue(ctx, configKey{}, cfg)
}

// LoadConfig reads the settings of the AWS SDK: environment, profiles, roles.
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
	cfg.Logger = logging.Nop{} // errors are returned
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return cfg, Explained(fmt.Errorf("%w: %w", ErrNoCredentials, err))
	}
	return cfg, nil
}

// checkEndpoints refuses settings, of the environment or of a profile, by which some calls would go to this machine and
// others to AWS.
func (c *Cloud) checkEndpoints() error {
	here := map[bool][]string{}
	for name, client := range c.clients {
		endpoint, _ := client.MethodByName("Options").Call(nil)[0].FieldByName("BaseEndpoint").Interface().(*string)
		here[IsLocal(endpoint)] = append(here[IsLocal(endpoint)], name)
	}
	slices.Sort(here[true])
	slices.Sort(here[false])
	if len(here[true]) == 0 || len(here[false]) == 0 {
		return nil
	}
	return fmt.Errorf(
		"the endpoints of %v are of this machine, those of %v are not, so the stack would be half here "+
			"and "+
			"half there: unset AWS_ENDPOINT_URL_… of the ones, or set AWS_ENDPOINT_URL for all (they may also "+
			"stand in "+
			"~/.aws/config)",
		here[true],
		here[false],
	)
}

// IsLocal reports whether an endpoint is on this machine, as the sandbox's is; nil is not.
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

// Identity is the account and the partition that the credentials are of.
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
