package facts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

func identity(answer any) (i doctor.Identity, err error) {
	err = cloud.Decode(cloud.Search("{ARN: Arn, Account: Account}", answer), &i)
	if parts := strings.Split(i.ARN, ":"); len(parts) > 1 {
		i.Partition = parts[1]
	}
	return i, err
}

func aliases(answer any) (all []doctor.Alias, err error) {
	err = cloud.Decode(cloud.Search("Aliases[].{Name: Name, Version: FunctionVersion}", answer), &all)
	return all, err
}

// configuration reads GetFunction, without the values of the environment.
func configuration(answer any) (c doctor.Configuration, err error) {
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
		Layers any // which have another form
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
			Loopback: strings.Contains(value, "://") && isLoopback(value)})
	}
	slices.SortFunc(c.Variables, func(a, b doctor.Variable) int { return strings.Compare(a.Name, b.Name) })
	return c, err
}

func isLoopback(value string) bool { return cloud.IsLocal(&value) }

// definition reads an export: of each route a digest of what it leads to and who may use it.
func definition(answer any) (d doctor.Definition, err error) {
	var encoded []byte
	if err = cloud.Decode(cloud.Search("Body", answer), &encoded); err != nil {
		return d, err
	}
	var body struct {
		Paths      map[string]map[string]json.RawMessage
		Components json.RawMessage
		CORS       json.RawMessage `json:"x-amazon-apigateway-cors"`
	}
	if err = json.Unmarshal(encoded, &body); err != nil {
		return d, err
	}
	d.Routes = map[string]string{}
	for path, methods := range body.Paths {
		for method, route := range methods {
			key := strings.ToUpper(method) + " " + path
			if method == "x-amazon-apigateway-any-method" {
				key = "ANY " + path
			}
			if path == "/$default" {
				key = "$default"
			}
			d.Routes[key] = digest(route, body.Components)
		}
	}
	if len(body.CORS) > 0 {
		d.CORS = digest(body.CORS)
	}
	return d, nil
}

// digest is a short name for some JSON: the same for the same.
func digest(all ...json.RawMessage) string {
	hash := sha256.New()
	for _, one := range all {
		var value any
		_ = json.Unmarshal(one, &value) // it was read before
		canonical, _ := json.Marshal(value)
		_, _ = hash.Write(canonical)
	}
	return hex.EncodeToString(hash.Sum(nil)[:6])
}
