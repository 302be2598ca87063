#!/bin/sh
# Makes the namespace TEMPORAL_NAMESPACE with Gravity's search attributes, or finds it made, so that no other
# process needs the right to.
set -eu

temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION" \
    --description "Gravity's runs and environments"

# The server looks for new namespaces every few seconds.
tries=0
until known=$(temporal operator search-attribute list --namespace "$TEMPORAL_NAMESPACE"); do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ]
  sleep 1
done
for name in GravityPipeline GravityEnvironment GravityRevision GravityVersion GravityState; do
  case $known in
    *"$name"*) ;;
    *) temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$name" --type Keyword ;;
  esac
done
