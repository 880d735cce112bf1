package main

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/portable-notes/notes/storetest"
)

// languageStory deploys a function in another language by hand, sees the blank 500, fixes it, and uses a table. Then
// the function lacks a right, a route, time and its handler in turn.
const languageStory = `
aws() { command aws --output text "$@"; }
deny=$(mktemp)
aws dynamodb create-table --table-name items --billing-mode PAY_PER_REQUEST \
  --attribute-definitions AttributeName=id,AttributeType=S --key-schema AttributeName=id,KeyType=HASH >$deny
role=$(aws iam create-role --role-name hello --query Role.Arn --assume-role-policy-document '{"Version":"2012-10-17",
  "Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}')
aws iam attach-role-policy --role-name hello \
  --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole
aws iam put-role-policy --role-name hello --policy-name table --policy-document '{"Version":"2012-10-17","Statement":[{
  "Effect":"Allow","Action":["dynamodb:PutItem","dynamodb:Scan"],
  "Resource":"arn:aws:dynamodb:*:*:table/items"}]}'
function=$(aws lambda create-function --function-name hello --runtime $RUNTIME --handler $HANDLER --timeout 20 \
  --zip-file fileb://$ZIP --role $role --query FunctionArn)
api=$(aws apigatewayv2 create-api --name hello --protocol-type HTTP --target $function --route-key 'ANY /items' \
  --query ApiId)
url=$(aws apigatewayv2 get-api --api-id $api --query ApiEndpoint)/\$default/items
ask() { what=$1; shift; echo "$what: $(curl -s -w ' %{http_code}' "$@" $url)"; }
ask blank
aws lambda invoke --function-name hello --payload '{"requestContext":{"http":{"method":"GET"}}}' $deny \
  --query StatusCode
cat $deny; echo
aws lambda add-permission --function-name hello --statement-id apigateway --action lambda:InvokeFunction \
  --principal apigateway.amazonaws.com --source-arn "arn:aws:execute-api:us-east-1:123456789012:$api/*" >$deny
ask healed
ask made -X POST -H 'Content-Type: application/json' -d '{"id":"a","n":1.5}'
ask listed
echo "missing: $(curl -s -w ' %{http_code}' $url/a)"
aws iam delete-role-policy --role-name hello --policy-name table
ask denied
configure() {
  aws lambda update-function-configuration --function-name hello "$@" >$deny
  until [ "$(aws lambda get-function --function-name hello \
    --query Configuration.LastUpdateStatus)" = Successful ]; do :; done
}
configure --handler lambda_function.sleeper --timeout 1
ask slow
configure --handler wrong.handler
ask crashing
for line in AccessDeniedException 'Task timed out' ImportModuleError; do
  until grep "$line" $deny; do
    aws logs filter-log-events --log-group-name /aws/lambda/hello --query 'events[].[message]' >$deny
  done
done
rm $deny
`

// TestProofLanguages runs a tutorial's function, in Python with boto3, in the sandbox.
func TestProofLanguages(t *testing.T) {
	t.Parallel()
	storetest.NotWithRace(t)
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	file, err := w.Create("lambda_function.py")
	if err == nil {
		_, err = io.WriteString(file, `import decimal
import json
import time

import boto3

table = boto3.resource("dynamodb").Table("items")


def lambda_handler(event, context):
    if event["requestContext"]["http"]["method"] == "POST":
        table.put_item(Item=json.loads(event["body"], parse_float=decimal.Decimal))
        return {"statusCode": 201}
    return {"items": table.scan()["Items"]} if event.get("rawPath") else "Hello from Lambda!"


def sleeper(event, context):
    time.sleep(60)
`)
	}
	if err == nil {
		err = w.Close()
	}
	path := filepath.Join(t.TempDir(), "function.zip")
	if err == nil {
		err = os.WriteFile(path, archive.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, log, err := runInSandbox(t, languageStory, "ZIP="+path, "RUNTIME=python3.12",
		"HANDLER=lambda_function.lambda_handler")
	if err != nil {
		t.Fatalf("%v; %s; %s", err, out, log)
	}
	const internal = `{"message":"Internal Server Error"} 500`
	for _, want := range []string{
		"blank: " + internal, `"Hello from Lambda!"`, `healed: {"items": []} 200`, "made:  201",
		`listed: {"items": [{"id": "a", "n": 1.5}]} 200`, "crashing: " + internal,
		`missing: {"message":"Not Found"} 404`, "denied: " + internal, "slow: " + internal,
		"not authorized to perform: dynamodb:Scan on resource: arn:aws:dynamodb:us-east-1:123456789012:table/items " +
			"because no identity-based policy allows the dynamodb:Scan action", "Task timed out after 1.00 seconds",
		"[ERROR] Runtime.ImportModuleError: Unable to import module 'wrong': No module named 'wrong'",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q: %s; log %s", want, out, log)
		}
	}
}
