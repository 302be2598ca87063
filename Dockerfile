# Gravity's images. Build one with `docker build --target NAME`, or all of them with `docker compose build`:
#
#   starter   both programs and nothing else: the receiver, the codec, and what of the command line needs no git
#   worker    the worker, with what checkouts need; teams put their toolchain on top (docs/builds.md)
#   stand-in  for trying: the worker with Go and the sample site (docker-compose.yml, profile stand-in)
#
# The bases are pinned by version; pin them by digest as well where you mirror them.

FROM golang:1.26.8-trixie AS build
WORKDIR /src
# Where modules come from, for those who have a proxy of their own.
ARG GOPROXY
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -trimpath -buildvcs=false -tags timetzdata \
      -ldflags "-s -w -buildid= -X gravity/worker/process.linkedVersion=$VERSION" -o /image/usr/local/bin/ ./worker ./starter
# The time zones are in the programs (timetzdata). One date for all files makes the layer the same each time.
RUN mkdir -p /image/etc/ssl/certs /image/home/gravity \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && echo 'gravity:x:65532:65532:Gravity:/home/gravity:/sbin/nologin' >/image/etc/passwd \
 && echo 'gravity:x:65532:' >/image/etc/group \
 && find /image -exec touch --no-dereference --date=@0 {} +

FROM debian:13.6-slim AS worker
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git git-lfs openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 65532 gravity \
 && useradd --uid 65532 --gid 65532 --home-dir /var/lib/gravity --shell /usr/sbin/nologin gravity \
 && install --directory --owner 65532 --group 65532 /var/lib/gravity
COPY --from=build /image/usr/local/bin/ /usr/local/bin/
ENV HOME=/var/lib/gravity GRAVITY_DIRECTORY=/var/lib/gravity/worker
WORKDIR /var/lib/gravity
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/worker"]

FROM worker AS stand-in
COPY --from=build /usr/local/go/ /usr/local/go/
COPY site/ /usr/share/gravity/site/
USER root
RUN install --directory --owner 65532 --group 65532 --mode 700 /stand-in
USER 65532:65532
ENV PATH=/usr/local/go/bin:$PATH GOTOOLCHAIN=local

FROM scratch AS starter
COPY --from=build /image/ /
ENV HOME=/home/gravity USER=gravity
WORKDIR /home/gravity
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/starter"]
