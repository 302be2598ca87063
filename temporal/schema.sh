#!/bin/sh
# Brings the schemas of Temporal's databases to the version of its own tool. It can run again at any time: that is
# how an upgrade of the server gets what it needs.
set -eu
SQL_PASSWORD=$(cat /run/secrets/database-password)
export SQL_PASSWORD SQL_PLUGIN=postgres12 SQL_HOST=postgresql SQL_PORT=5432 SQL_USER=temporal

# schema DATABASE NAME
schema() {
  temporal-sql-tool --database "$1" setup-schema --version 0.0
  temporal-sql-tool --database "$1" update-schema --schema-name "$2"
}

schema temporal postgresql/v12/temporal
schema temporal_visibility postgresql/v12/visibility
