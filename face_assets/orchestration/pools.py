"""Pools: work of which one piece goes on at a time, whatever run it belongs to; dagster.yaml limits each to one."""

TRAINING = "training"  # it takes all cores
REGISTRATION = "registration"  # it writes to the DVC remote and the data repository, and decides what production is
DEPLOYMENT = "deployment"  # it changes what the server answers with
