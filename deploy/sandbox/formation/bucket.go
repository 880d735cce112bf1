package formation

import (
	"encoding/xml"
	"net/http"
	"strings"
)

// The kinds call kindOf, which reads kinds, so they cannot be its initial value.
func init() {
	kinds["AWS::S3::Bucket"] = bucket
	kinds["AWS::S3::BucketPolicy"] = bucketPolicy
	kinds["AWS::SSM::Parameter"] = parameter
	kinds["AWS::ECR::Repository"] = repository
}

// Unapplied are the properties of buckets that the sandbox accepts but does not apply, because its buckets only hold
// templates and code.
var Unapplied = []string{"AccessControl", "BucketEncryption", "CorsConfiguration", "LifecycleConfiguration",
	"LoggingConfiguration", "OwnershipControls", "PublicAccessBlockConfiguration"}

var bucket = &kind{
	named: "BucketName", limit: 63, immutable: []string{"BucketName"}, tags: "list",
	create: func(x *work) error {
		name := strings.ToLower(x.name())
		var location []byte
		if x.region != "us-east-1" {
			location = []byte("<CreateBucketConfiguration><LocationConstraint>" + x.region +
				"</LocationConstraint></CreateBucketConfiguration>")
		}
		if err := x.checkBucket(); err != nil {
			return err
		}
		if _, err := x.caller().askS3(x.ctx, http.MethodPut, "/"+name, location); err != nil {
			return err
		}
		x.id = name
		domain := name + ".s3." + x.region + ".amazonaws.com"
		x.attributes["Arn"] = "arn:" + x.partition() + ":s3:::" + name
		x.attributes["DomainName"], x.attributes["RegionalDomainName"] = name+".s3.amazonaws.com", domain
		x.attributes["DualStackDomainName"] = name + ".s3.dualstack." + x.region + ".amazonaws.com"
		return x.configureBucket()
	},
	update: func(x *work, _ map[string]any) error {
		if err := x.checkBucket(); err != nil {
			return err
		}
		return x.configureBucket()
	},
	remove: func(x *work) error {
		_, err := x.caller().askS3(x.ctx, http.MethodDelete, "/"+x.id, nil)
		return err
	},
}

// versioning is the body of PutBucketVersioning, and tagging that of PutBucketTagging.
type (
	versioning struct {
		XMLName xml.Name `xml:"VersioningConfiguration"`
		Status  string
	}
	tagging struct {
		XMLName xml.Name `xml:"Tagging"`
		Tags    []xmlTag `xml:"TagSet>Tag"`
	}
	xmlTag struct{ Key, Value string }
)

// checkBucket returns an error for properties that the sandbox does not know.
func (x *work) checkBucket() error {
	var known struct {
		BucketName              string
		VersioningConfiguration struct{ Status string }
	}
	return decode(without(x.properties, append([]string{"Tags"}, Unapplied...)...), &known)
}

// configureBucket sets the versioning and the tags of a bucket.
func (x *work) configureBucket() error {
	status := "Suspended"
	if given, ok := x.properties["VersioningConfiguration"].(map[string]any); ok {
		status = asText(given["Status"])
	}
	tags := tagging{}
	for _, one := range tagList(tagsOfProperties(x.properties)) {
		tag, _ := one.(map[string]any)
		if key := asText(tag["Key"]); !strings.HasPrefix(key, "aws:") { // which S3 lets only CloudFormation set
			tags.Tags = append(tags.Tags, xmlTag{key, asText(tag["Value"])})
		}
	}
	for path, body := range map[string]any{"?versioning": versioning{Status: status}, "?tagging": tags} {
		text, err := xml.Marshal(body)
		if err == nil {
			_, err = x.caller().askS3(x.ctx, http.MethodPut, "/"+x.id+path, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucketPolicy is the policy of a bucket.
var bucketPolicy = &kind{
	immutable: []string{"Bucket"},
	create: func(x *work) error {
		if x.text("Bucket") == "" || x.properties["PolicyDocument"] == nil {
			return invalid("Properties validation failed: required key [Bucket] or [PolicyDocument] not found")
		}
		err := x.putBucketPolicy(http.MethodPut, []byte(asJSON(x.properties["PolicyDocument"])))
		if err == nil {
			x.id = x.text("Bucket")
		}
		return err
	},
	update: func(x *work, _ map[string]any) error {
		return x.putBucketPolicy(http.MethodPut, []byte(asJSON(x.properties["PolicyDocument"])))
	},
	remove: func(x *work) error { return x.putBucketPolicy(http.MethodDelete, nil) },
}

func (x *work) putBucketPolicy(method string, policy []byte) error {
	_, err := x.caller().askS3(x.ctx, method, "/"+x.text("Bucket")+"?policy", policy)
	return err
}

// parameter is a parameter of Systems Manager.
var parameter = &kind{
	named: "Name", limit: 512, immutable: []string{"Name"}, tags: "map",
	create: func(x *work) error {
		name := x.name()
		if err := x.putParameter(name, false); err != nil {
			return err
		}
		x.id = name
		return nil
	},
	update: func(x *work, _ map[string]any) error { return x.putParameter(x.id, true) },
	remove: func(x *work) error {
		_, err := x.caller().askJSON(x.ctx, "ssm", "AmazonSSM.DeleteParameter", map[string]any{"Name": x.id})
		return err
	},
}

// putParameter sets a parameter. It is an error if a new one exists.
func (x *work) putParameter(name string, isUpdate bool) error {
	var known struct{ AllowedPattern, DataType, Description, Name, Policies, Tier, Type, Value string }
	properties := without(x.properties, "Tags")
	if err := decode(properties, &known); err != nil {
		return err
	}
	_, err := x.caller().askJSON(x.ctx, "ssm", "AmazonSSM.PutParameter", with(properties, map[string]any{"Name": name,
		"Overwrite": isUpdate}))
	x.attributes["Type"], x.attributes["Value"] = known.Type, known.Value
	return err
}

// repository is a repository of container images. The sandbox runs none, but CDK's bootstrap makes one.
var repository = &kind{
	named: "RepositoryName", limit: 256, immutable: []string{"RepositoryName"}, tags: "list",
	create: func(x *work) error {
		name := strings.ToLower(x.name())
		if err := x.checkRepository(); err != nil {
			return err
		}
		in := map[string]any{"repositoryName": name}
		if _, err := x.caller().askJSON(x.ctx, "ecr", "AmazonEC2ContainerRegistry_V20150921.CreateRepository",
			in); err != nil {
			return err
		}
		x.id = name
		x.attributes["Arn"] = x.arn("ecr", "repository/"+name)
		x.attributes["RepositoryUri"] = x.host.Account + ".dkr.ecr." + x.region + ".amazonaws.com/" + name
		return nil
	},
	update: func(x *work, _ map[string]any) error { return x.checkRepository() },
	remove: func(x *work) error {
		_, err := x.caller().askJSON(x.ctx, "ecr", "AmazonEC2ContainerRegistry_V20150921.DeleteRepository",
			map[string]any{"repositoryName": x.id, "force": true})
		return err
	},
}

// checkRepository returns an error for properties that the sandbox does not know.
func (x *work) checkRepository() error {
	var known struct{ RepositoryName string }
	return decode(without(x.properties, "EmptyOnDelete", "EncryptionConfiguration", "ImageScanningConfiguration",
		"ImageTagMutability", "LifecyclePolicy", "RepositoryPolicyText", "Tags"), &known)
}
