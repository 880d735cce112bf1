package facts

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

// parseIdentity reads the answer of GetCallerIdentity.
func parseIdentity(answer any) (i doctor.Identity, err error) {
	err = cloud.Decode(cloud.Search("{ARN: Arn, Account: Account}", answer), &i)
	if parts := strings.Split(i.ARN, ":"); len(parts) > 1 {
		i.Partition = parts[1]
	}
	return i, err
}

// parseAliases reads the answer of ListAliases.
func parseAliases(answer any) (all []doctor.Alias, err error) {
	err = cloud.Decode(cloud.Search("Aliases[].{Name: Name, Version: FunctionVersion}", answer), &all)
	return all, err
}

// parseConfiguration reads the answer of GetFunction, without the values of environment variables.
func parseConfiguration(answer any) (c doctor.Configuration, err error) {
	var more struct {
		Name          string `json:"FunctionName"`
		Layers        []struct{ Arn string }
		VpcConfig     struct{ VpcId string }
		KMSKeyArn     string
		Environment   struct{ Variables map[string]string }
		LoggingConfig struct{ LogGroup string }
		Architectures []string
		PackageType   string
	}
	err = errors.Join(cloud.Decode(cloud.Search("Configuration", answer), &struct {
		*doctor.Configuration
		Layers any // hides Configuration.Layers, which has another type
	}{Configuration: &c}), cloud.Decode(cloud.Search("Configuration", answer), &more),
		cloud.Decode(cloud.Search("Concurrency.ReservedConcurrentExecutions", answer), &c.Concurrency))
	c.Name, c.Architectures, c.Package, c.KMSKey = more.Name, more.Architectures, more.PackageType, more.KMSKeyArn
	c.VPC, c.LogGroup = more.VpcConfig.VpcId != "", more.LoggingConfig.LogGroup
	if c.LogGroup == "" {
		c.LogGroup = "/aws/lambda/" + c.Name
	}
	for _, layer := range more.Layers {
		c.Layers = append(c.Layers, layer.Arn)
	}
	for name, value := range more.Environment.Variables {
		c.Variables = append(c.Variables, doctor.Variable{Name: name, Empty: value == "",
			Loopback: isLocal(value)})
	}
	slices.SortFunc(c.Variables, func(a, b doctor.Variable) int { return strings.Compare(a.Name, b.Name) })
	return c, err
}

// isLocal reports whether a value is a URL that only works on a developer's machine: its host is the machine itself, or
// a name without dots, such as that of a container.
func isLocal(value string) bool {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		return false
	}
	name := u.Hostname()
	return cloud.IsLocal(&value) || name == "host.docker.internal" || !strings.ContainsAny(name, ".:") && name != ""
}
