"""Translates a template with SAM's types, in the JSON on standard input, by AWS's own translator."""

import json
import os
import sys

asked = json.load(sys.stdin)
os.environ.update(AWS_DEFAULT_REGION=asked["region"], AWS_ACCESS_KEY_ID="sandbox", AWS_SECRET_ACCESS_KEY="sandbox")

import boto3  # noqa: E402: after the environment
from samtranslator.model.exceptions import InvalidDocumentException  # noqa: E402
from samtranslator.public.translator import ManagedPolicyLoader  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402


class Policies(ManagedPolicyLoader):
    """The managed policies of AWS, which are read from moto when a template names one."""

    def __init__(self):
        super().__init__(None)

    def load(self):
        self._iam_client = boto3.client("iam", endpoint_url=asked["endpoint"])
        return super().load()


parameters = dict(asked["parameters"])
parameters.setdefault("AWS::Region", asked["region"])
try:
    answer = {"Template": transform(asked["template"], parameters, Policies())}
except InvalidDocumentException as e:
    answer = {"Errors": [cause.message for cause in e.causes] or [e.message]}
json.dump(answer, sys.stdout)
