#!/bin/sh
# Makes the namespace TEMPORAL_NAMESPACE with Gravity's search attributes, or finds it made, so that no other
# process needs the right to.
set -eu

temporal operator namespace describe >/dev/null 2>&1 ||
  temporal operator namespace create --retention "$RETENTION" --description "Gravity's runs and environments"

known=$(temporal operator search-attribute list)
for name in GravityPipeline GravityEnvironment GravityRevision GravityVersion GravityState; do
  case $known in
    *"$name"*) ;;
    *) temporal operator search-attribute create --name "$name" --type Keyword ;;
  esac
done
