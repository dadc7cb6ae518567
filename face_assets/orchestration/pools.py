"""Pools: kinds of work that run one step at a time over all runs; dagster.yaml limits each to one."""

TRAINING = "training"  # it takes all cores
REGISTRATION = "registration"  # it writes to the DVC remote and the data repository, and decides what production is
DEPLOYMENT = "deployment"  # it changes the live release
