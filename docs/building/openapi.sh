# Makes a typical API with the aws CLI: the functions, and an API imported from an OpenAPI definition.
set -eu
functions=arn:aws:lambda:us-east-1:123456789012:function
aws iam create-role --role-name "$NAME" --assume-role-policy-document '{"Version": "2012-10-17", "Statement": [{
  "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}' >/dev/null
aws iam attach-role-policy --role-name "$NAME" \
  --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole
for function in handler: authorize:-auth; do
  aws lambda create-function --function-name "$NAME${function#*:}" --role "arn:aws:iam::123456789012:role/$NAME" \
    --runtime python3.12 --handler "app.${function%:*}" --timeout 10 --zip-file fileb://app.zip >/dev/null
done
call() { # prints the URI by which API Gateway invokes a function
  echo "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/$functions:$1/invocations"
}
cat >openapi.json <<END
{
  "openapi": "3.0.1",
  "info": {"title": "$NAME", "version": "1"},
  "paths": {
    "/items": {
      "get": {"x-amazon-apigateway-integration": {"\$ref": "#/components/x-amazon-apigateway-integrations/app"}},
      "post": {"x-amazon-apigateway-integration": {"\$ref": "#/components/x-amazon-apigateway-integrations/app"}}
    },
    "/items/{id}": {
      "get": {
        "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
        "security": [{"key": []}],
        "x-amazon-apigateway-integration": {"\$ref": "#/components/x-amazon-apigateway-integrations/app"}
      }
    },
    "/files/{proxy+}": {
      "x-amazon-apigateway-any-method": {
        "x-amazon-apigateway-integration": {"\$ref": "#/components/x-amazon-apigateway-integrations/app"}
      }
    },
    "/\$default": {
      "x-amazon-apigateway-any-method": {
        "isDefaultRoute": true,
        "x-amazon-apigateway-integration": {"\$ref": "#/components/x-amazon-apigateway-integrations/app"}
      }
    }
  },
  "components": {
    "securitySchemes": {
      "key": {
        "type": "apiKey", "name": "Authorization", "in": "header",
        "x-amazon-apigateway-authorizer": {
          "type": "request", "identitySource": "\$request.header.Authorization",
          "authorizerPayloadFormatVersion": "2.0", "enableSimpleResponses": true,
          "authorizerUri": "$(call "$NAME-auth")"
        }
      }
    },
    "x-amazon-apigateway-integrations": {
      "app": {"type": "AWS_PROXY", "httpMethod": "POST", "payloadFormatVersion": "2.0", "uri": "$(call "$NAME")"}
    }
  }
}
END
api=$(aws apigatewayv2 import-api --body file://openapi.json --query ApiId --output text)
aws apigatewayv2 create-stage --api-id "$api" --stage-name '$default' --auto-deploy >/dev/null
for function in "$NAME" "$NAME-auth"; do
  aws lambda add-permission --function-name "$function" --statement-id api --action lambda:InvokeFunction \
    --principal apigateway.amazonaws.com --source-arn "arn:aws:execute-api:us-east-1:123456789012:$api/*/*" >/dev/null
done
