"""A typical function, and a typical authorizer."""


def handler(event, context):
    return {"statusCode": 200, "body": event["routeKey"]}


def authorize(event, context):
    return {"isAuthorized": event["headers"].get("authorization") == "open"}
