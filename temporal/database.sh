#!/bin/sh
# Makes Temporal's role and its two databases when PostgreSQL starts on an empty volume. The role owns these and
# nothing else: the superuser's password is for people who mend things.
set -eu
psql --set=ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `cat /run/secrets/database-password`
CREATE ROLE temporal LOGIN PASSWORD :'password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE ALL ON DATABASE temporal, temporal_visibility FROM PUBLIC;
SQL
