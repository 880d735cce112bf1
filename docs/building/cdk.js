const cdk = require('aws-cdk-lib');
const lambda = require('aws-cdk-lib/aws-lambda');
const { HttpApi, HttpMethod } = require('aws-cdk-lib/aws-apigatewayv2');
const { HttpLambdaAuthorizer, HttpLambdaResponseType } = require('aws-cdk-lib/aws-apigatewayv2-authorizers');
const { HttpLambdaIntegration } = require('aws-cdk-lib/aws-apigatewayv2-integrations');

const name = process.env.NAME;
const stack = new cdk.Stack(new cdk.App(), name);
const shared = { runtime: lambda.Runtime.PYTHON_3_12, code: lambda.Code.fromAsset('src') };
const app = new lambda.Function(stack, 'App', {
  ...shared, functionName: name, handler: 'app.handler', timeout: cdk.Duration.seconds(10),
  memorySize: 128, reservedConcurrentExecutions: 10,
});
const auth = new lambda.Function(stack, 'Auth', { ...shared, functionName: name + '-auth', handler: 'app.authorize' });
const authorizer = new HttpLambdaAuthorizer('Key', auth, { responseTypes: [HttpLambdaResponseType.SIMPLE] });
const integration = new HttpLambdaIntegration('Integration', app);
const api = new HttpApi(stack, 'Api', { apiName: name, defaultIntegration: integration });
api.addRoutes({ path: '/items', methods: [HttpMethod.GET, HttpMethod.POST], integration });
api.addRoutes({ path: '/items/{id}', methods: [HttpMethod.GET], integration, authorizer });
api.addRoutes({ path: '/files/{proxy+}', integration });
