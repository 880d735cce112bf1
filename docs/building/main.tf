variable "name" {
  type = string
}

data "aws_partition" "current" {}

resource "aws_iam_role" "app" {
  name = var.name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "app" {
  role       = aws_iam_role.app.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_lambda_function" "app" {
  function_name                  = var.name
  filename                       = "app.zip"
  source_code_hash               = filebase64sha256("app.zip")
  runtime                        = "python3.12"
  handler                        = "app.handler"
  role                           = aws_iam_role.app.arn
  timeout                        = 10
  memory_size                    = 128
  reserved_concurrent_executions = 10
}

resource "aws_lambda_function" "auth" {
  function_name    = "${var.name}-auth"
  filename         = "app.zip"
  source_code_hash = filebase64sha256("app.zip")
  runtime          = "python3.12"
  handler          = "app.authorize"
  role             = aws_iam_role.app.arn
}

resource "aws_apigatewayv2_api" "app" {
  name          = var.name
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "app" {
  api_id                 = aws_apigatewayv2_api.app.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.app.invoke_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_authorizer" "key" {
  api_id                            = aws_apigatewayv2_api.app.id
  name                              = "key"
  authorizer_type                   = "REQUEST"
  authorizer_uri                    = aws_lambda_function.auth.invoke_arn
  authorizer_payload_format_version = "2.0"
  enable_simple_responses           = true
  identity_sources                  = ["$request.header.Authorization"]
}

resource "aws_apigatewayv2_route" "app" {
  for_each = toset(["GET /items", "POST /items", "GET /items/{id}", "ANY /files/{proxy+}", "$default"])

  api_id             = aws_apigatewayv2_api.app.id
  route_key          = each.key
  target             = "integrations/${aws_apigatewayv2_integration.app.id}"
  authorization_type = each.key == "GET /items/{id}" ? "CUSTOM" : "NONE"
  authorizer_id      = each.key == "GET /items/{id}" ? aws_apigatewayv2_authorizer.key.id : null
}

resource "aws_apigatewayv2_stage" "app" {
  api_id      = aws_apigatewayv2_api.app.id
  name        = "$default"
  auto_deploy = true

  # If these are left out, and somebody else has set limits, the next apply sets them to 0: every answer is then a 429.
  default_route_settings {
    throttling_burst_limit = 100
    throttling_rate_limit  = 50
  }
}

resource "aws_lambda_permission" "app" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.app.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.app.execution_arn}/*/*"
}

resource "aws_lambda_permission" "auth" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.auth.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.app.execution_arn}/authorizers/${aws_apigatewayv2_authorizer.key.id}"
}
