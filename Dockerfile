# syntax=docker/dockerfile:1

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/guichet ./cmd/guichet \
    && mkdir /out/data

# No shell, no package manager: certificates, time zones, and a user without rights (65532).
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/guichet /guichet
COPY --from=build --chown=65532:65532 /out/data /data
# Inside a container its own loopback would reach nobody; what is published is for `docker run -p` to say.
ENV GUICHET_LISTEN=0.0.0.0:8080 \
    GUICHET_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 CMD ["/guichet", "health"]
ENTRYPOINT ["/guichet"]
CMD ["serve"]
