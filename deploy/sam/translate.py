"""Translates a template with SAM's types, in the JSON on standard input, by AWS's own translator."""

import sys

sys.path[:] = [folder for folder in sys.path if folder]  # a template's folder must not replace Python's modules

import json  # noqa: E402: after the path
import os  # noqa: E402

asked = json.load(sys.stdin)
os.environ.update(AWS_DEFAULT_REGION=asked["region"], AWS_ACCESS_KEY_ID="sandbox", AWS_SECRET_ACCESS_KEY="sandbox")

import boto3  # noqa: E402: after the environment
from samtranslator.model.exceptions import InvalidDocumentException  # noqa: E402
from samtranslator.public.translator import ManagedPolicyLoader  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402


class Policies(ManagedPolicyLoader):
    """The managed policies of AWS, which are read when a template names one."""

    def __init__(self):
        super().__init__(None)

    def load(self):
        if not asked["endpoint"]:
            return {}
        self._iam_client = boto3.client("iam", endpoint_url=asked["endpoint"])
        return super().load()


# The properties that name files. The translator accepts only those that were uploaded.
files = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Serverless::Application": "Location",
    "AWS::Serverless::Api": "DefinitionUri",
    "AWS::Serverless::HttpApi": "DefinitionUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
    "AWS::Serverless::GraphQLApi": "SchemaUri",
}


def upload(template):
    """Replaces the names of local files, as if they had been uploaded."""
    settings = template.get("Globals", {})
    for kind, name in files.items():
        members = [r.get("Properties", {}) for r in template["Resources"].values() if r.get("Type") == kind]
        common = settings.get(kind.split("::")[-1])
        for properties in members + ([common] if common else []):
            if isinstance(properties.get(name), str) and not properties[name].startswith(("s3://", "arn:", "http")):
                properties[name] = "s3://local/file"
    for r in template["Resources"].values():
        if r.get("Type") == "AWS::Serverless::Function":  # sam build makes the code of those that name none
            properties = r.setdefault("Properties", {})
            if {**settings.get("Function", {}), **properties}.get("PackageType") == "Image":
                properties.setdefault("ImageUri", "123456789012.dkr.ecr.us-east-1.amazonaws.com/local")
            elif not {"CodeUri", "InlineCode", "ImageUri"} & {*settings.get("Function", {}), *properties}:
                properties["CodeUri"] = "s3://local/file"


parameters = dict(asked["parameters"])
parameters.setdefault("AWS::Region", asked["region"])
if asked["local"]:
    upload(asked["template"])
try:
    answer = {"Template": transform(asked["template"], parameters, Policies())}
except InvalidDocumentException as e:
    answer = {"Errors": [cause.message for cause in e.causes] or [e.message]}
json.dump(answer, sys.stdout)
