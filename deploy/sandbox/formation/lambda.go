package formation

import (
	"archive/zip"
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/deploy/cloud"
)

// The kinds call kindOf, which reads kinds, so they cannot be its initial value.
func init() {
	for name, k := range map[string]*kind{
		"Function":     function,
		"Version":      version,
		"Alias":        alias,
		"Permission":   permission,
		"Url":          functionURL,
		"LayerVersion": layerVersion,
	} {
		kinds["AWS::Lambda::"+name] = k
	}
}

// separate are the properties of a function that are set by calls of their own.
var separate = []string{"Code", "Tags", "ReservedConcurrentExecutions"}

// functionDefaults are the settings of a function that does not give them ("Configure Lambda functions").
var functionDefaults = map[string]any{"MemorySize": 128, "Timeout": 3,
	"Environment":      map[string]any{"Variables": map[string]any{}},
	"EphemeralStorage": map[string]any{"Size": 512}, "TracingConfig": map[string]any{"Mode": "PassThrough"},
	"VpcConfig": map[string]any{"SubnetIds": []any{}, "SecurityGroupIds": []any{}}}

var function = &kind{
	named: "FunctionName", limit: 64, immutable: []string{"FunctionName", "PackageType"}, tags: "list",
	create: func(x *work) error {
		in := &lambda.CreateFunctionInput{}
		if err := decode(without(x.properties, separate...), in); err != nil {
			return err
		}
		code, err := x.code()
		if err != nil {
			return err
		}
		in.FunctionName, in.Code, in.Tags = aws.String(x.name()), code, tagsOfProperties(x.properties)
		if _, err := x.do(in); err != nil {
			return err
		}
		x.id = *in.FunctionName
		x.attributes["Arn"] = x.arn("lambda", "function:"+x.id)
		if err := x.await(); err != nil {
			return err
		}
		return x.reserve(nil)
	},
	update: func(x *work, before map[string]any) error {
		if asJSON(before["Code"]) != asJSON(x.properties["Code"]) ||
			asJSON(before["Architectures"]) != asJSON(x.properties["Architectures"]) {
			code, err := x.code()
			if err != nil {
				return err
			}
			in := &lambda.UpdateFunctionCodeInput{
				FunctionName:    &x.id,
				ImageUri:        code.ImageUri,
				S3Bucket:        code.S3Bucket,
				S3Key:           code.S3Key,
				S3ObjectVersion: code.S3ObjectVersion,
				ZipFile:         code.ZipFile,
			}
			if err := decode(map[string]any{"Architectures": x.properties["Architectures"]}, in); err != nil {
				return err
			}
			if _, err := x.do(in); err != nil {
				return err
			}
			if err := x.await(); err != nil {
				return err
			}
		}
		names := append([]string{"Architectures", "PackageType", "CodeSigningConfigArn", "FunctionName"}, separate...)
		settings := reset(without(before, names...), without(x.properties, names...), functionDefaults)
		settings["FunctionName"] = x.id
		if _, err := x.doWith(&lambda.UpdateFunctionConfigurationInput{}, settings); err != nil {
			return err
		}
		if err := x.await(); err != nil {
			return err
		}
		if err := x.tagFunction(before); err != nil {
			return err
		}
		return x.reserve(before)
	},
	remove: func(x *work) error {
		_, err := x.do(&lambda.DeleteFunctionInput{FunctionName: &x.id})
		return err
	},
}

// await waits until a function can be used and changed.
func (x *work) await() error {
	return cloud.Retry(x.ctx, time.Minute, func() error {
		answer, err := x.do(&lambda.GetFunctionConfigurationInput{FunctionName: &x.id})
		if err != nil {
			return err
		}
		switch state, last := asText(answer["State"]), asText(answer["LastUpdateStatus"]); {
		case state == "Failed" || last == "Failed":
			return invalid("the function cannot be used: %s", cmp.Or(asText(answer["LastUpdateStatusReason"]),
				asText(answer["StateReason"])))
		case state == "Pending" || last == "InProgress":
			x.cloud.Forget()
			return cloud.RetryLater(fmt.Errorf("the function is %s", state))
		}
		return nil
	})
}

// reserve sets the reserved concurrency, or removes it.
func (x *work) reserve(before map[string]any) (err error) {
	if _, ok := x.properties["ReservedConcurrentExecutions"]; ok {
		_, err = x.doWith(&lambda.PutFunctionConcurrencyInput{FunctionName: &x.id},
			map[string]any{"ReservedConcurrentExecutions": x.properties["ReservedConcurrentExecutions"]})
	} else if before["ReservedConcurrentExecutions"] != nil {
		_, err = x.do(&lambda.DeleteFunctionConcurrencyInput{FunctionName: &x.id})
	}
	return err
}

func (x *work) tagFunction(before map[string]any) error {
	arn := x.arn("lambda", "function:"+x.id)
	return x.retag(before,
		func(tags map[string]string) any { return &lambda.TagResourceInput{Resource: &arn, Tags: tags} },
		func(keys []string) any { return &lambda.UntagResourceInput{Resource: &arn, TagKeys: keys} })
}

// code returns the code of a function. Code in the template itself becomes a zip with one file.
func (x *work) code() (*types.FunctionCode, error) {
	given, _ := x.properties["Code"].(map[string]any)
	code := &types.FunctionCode{}
	source, isInline := given["ZipFile"]
	if err := decode(without(given, "ZipFile"), code); err != nil || !isInline {
		return code, err
	}
	name := "index.js"
	if strings.HasPrefix(x.text("Runtime"), "python") {
		name = "index.py"
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	file, err := z.Create(name)
	if err == nil {
		_, err = file.Write([]byte(asText(source)))
	}
	if err == nil {
		err = z.Close()
	}
	code.ZipFile = out.Bytes()
	return code, err
}

var version = &kind{
	create: func(x *work) error {
		earlier, err := x.do(&lambda.ListVersionsByFunctionInput{FunctionName: aws.String(x.text("FunctionName"))})
		if err != nil {
			return err
		}
		answer, err := x.doWith(&lambda.PublishVersionInput{}, x.properties)
		if err != nil {
			return err
		}
		for _, one := range asList(earlier["Versions"]) { // Lambda publishes nothing if the function did not change
			if published, _ := one.(map[string]any); published["Version"] == answer["Version"] {
				return invalid("A version for this Lambda function exists ( %v ). Modify the function to create a new "+
					"version.", answer["Version"])
			}
		}
		x.id = asText(answer["FunctionArn"])
		x.attributes["Version"], x.attributes["FunctionArn"] = answer["Version"], x.id
		return nil
	},
	remove: func(x *work) error {
		_, err := x.do(&lambda.DeleteFunctionInput{FunctionName: aws.String(x.text("FunctionName")),
			Qualifier: aws.String(asText(x.attributes["Version"]))})
		return err
	},
}

var alias = &kind{
	named: "Name", immutable: []string{"FunctionName", "Name"},
	create: func(x *work) error {
		answer, err := x.doWith(&lambda.CreateAliasInput{}, x.aliasProperties())
		x.id = asText(answer["AliasArn"])
		x.attributes["AliasArn"] = x.id
		return err
	},
	update: func(x *work, before map[string]any) error {
		_, err := x.doWith(&lambda.UpdateAliasInput{}, reset(before, x.aliasProperties(),
			map[string]any{"RoutingConfig": map[string]any{"AdditionalVersionWeights": map[string]any{}}}))
		return err
	},
	remove: func(x *work) error {
		_, err := x.do(&lambda.DeleteAliasInput{FunctionName: aws.String(x.text("FunctionName")),
			Name: aws.String(x.text("Name"))})
		return err
	},
}

// aliasProperties returns the properties of an alias as the API has them: weights are a mapping.
func (x *work) aliasProperties() map[string]any {
	all := with(x.properties, nil)
	routing, _ := all["RoutingConfig"].(map[string]any)
	weights := map[string]any{}
	for _, one := range asList(routing["AdditionalVersionWeights"]) {
		weight, _ := one.(map[string]any)
		weights[asText(weight["FunctionVersion"])] = weight["FunctionWeight"]
	}
	if all["RoutingConfig"] != nil {
		all["RoutingConfig"] = map[string]any{"AdditionalVersionWeights": weights}
	}
	return all
}

func asList(value any) []any {
	all, _ := value.([]any)
	return all
}

// permission is a statement of a function's policy. CloudFormation makes up its id.
var permission = &kind{
	create: func(x *work) error {
		id := x.generated(100)
		_, err := x.doWith(&lambda.AddPermissionInput{StatementId: &id}, x.properties)
		if err == nil {
			x.id, x.attributes["Id"] = id, id
		}
		return err
	},
	remove: func(x *work) error {
		_, err := x.do(&lambda.RemovePermissionInput{FunctionName: aws.String(x.text("FunctionName")),
			StatementId: &x.id})
		return err
	},
}

var functionURL = &kind{
	immutable: []string{"TargetFunctionArn", "Qualifier"},
	create: func(x *work) error {
		answer, err := x.doWith(
			&lambda.CreateFunctionUrlConfigInput{FunctionName: aws.String(x.text("TargetFunctionArn"))},
			without(x.properties, "TargetFunctionArn"),
		)
		x.id = asText(answer["FunctionArn"])
		x.attributes["FunctionUrl"], x.attributes["FunctionArn"] = answer["FunctionUrl"], x.id
		return err
	},
	update: func(x *work, before map[string]any) error {
		_, err := x.doWith(
			&lambda.UpdateFunctionUrlConfigInput{FunctionName: aws.String(x.text("TargetFunctionArn"))},
			without(reset(before, x.properties, nil), "TargetFunctionArn"),
		)
		return err
	},
	remove: func(x *work) error {
		_, err := x.do(&lambda.DeleteFunctionUrlConfigInput{FunctionName: aws.String(x.text("TargetFunctionArn")),
			Qualifier: optional(x.text("Qualifier"))})
		return err
	},
}

var layerVersion = &kind{
	named: "LayerName", limit: 64,
	create: func(x *work) error {
		in := &lambda.PublishLayerVersionInput{}
		if err := decode(x.properties, in); err != nil {
			return err
		}
		in.LayerName = aws.String(x.name())
		answer, err := x.do(in)
		x.id = asText(answer["LayerVersionArn"])
		x.attributes["LayerVersionArn"] = x.id
		return err
	},
	remove: func(x *work) error {
		at := strings.LastIndex(x.id, ":")
		var number int64
		if _, err := fmt.Sscan(x.id[at+1:], &number); err != nil {
			return err
		}
		_, err := x.do(&lambda.DeleteLayerVersionInput{LayerName: aws.String(x.id[:at]), VersionNumber: &number})
		return err
	},
}
