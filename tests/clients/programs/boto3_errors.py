"""boto3's sagemakerjobruntime: what it raises when the gateway refuses; prints one [class, words] per wrong call."""

import json
import os
import sys

import boto3
import desk
from botocore.config import Config
from botocore.exceptions import ClientError

once = Config(retries={"total_max_attempts": 1})
runtime = boto3.client("sagemakerjobruntime", endpoint_url=desk.endpoint, config=once)
stranger = boto3.client(
    "sagemakerjobruntime",
    endpoint_url=desk.endpoint,
    config=once,
    aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
    aws_secret_access_key="not the job's",
)
names = {"JobArn": desk.metadata["job_arn"], "TrajectoryId": desk.metadata["trajectory_id"]}
body = json.dumps({"messages": [{"role": "user", "content": desk.prompt}]})
two = json.dumps({"messages": [{"role": "user", "content": desk.prompt}], "n": 2})
raised = {}


def refused(case, expected, call, **arguments):
    try:
        call(**{**names, **arguments})
    except expected as error:
        raised[case] = [type(error).__name__, error.response["Error"]["Message"]]


errors = runtime.exceptions
refused("unrecorded field", errors.ValidationException, runtime.sample, Body=two)
refused("not JSON", errors.ValidationException, runtime.sample, Body="{")
refused("NaN", errors.ValidationException, runtime.update_reward, Rewards=[float("nan")])
refused("wrong key", errors.AccessDeniedException, stranger.sample, Body=body)
refused("another job", errors.AccessDeniedException, runtime.complete_rollout, JobArn=names["JobArn"] + "x")
refused("no such trajectory", errors.ResourceNotFoundException, runtime.sample, TrajectoryId="t-none", Body=body)
runtime.sample(**names, Body=body)
refused("too fast", errors.ThrottlingException, runtime.sample, Body=body)
runtime.complete_rollout(**names)
refused("sealed twice", errors.ConflictException, runtime.complete_rollout)
refused("sampled after the seal", ClientError, runtime.sample, Body=body)
refused("stream after the seal", ClientError, runtime.sample_with_response_stream, Body=body)
runtime.update_reward(**names, Rewards=[1.0])
refused("rewarded twice", errors.ConflictException, runtime.update_reward, Rewards=[0.0])
sys.stdout.write(json.dumps(raised) + "\n")
