# The store as an image: one static binary, no shell, not root.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN make build VERSION=$VERSION && mkdir -p /out/data /out/tmp && chmod 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/bin/logstore /usr/bin/logstore
COPY --from=build --chown=10001:10001 /out/data /data
COPY --from=build /out/tmp /tmp
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 3100 9095 7946
HEALTHCHECK --interval=5s --timeout=6s --start-period=60s --retries=6 CMD ["/usr/bin/logstore", "health"]
ENTRYPOINT ["/usr/bin/logstore"]
CMD ["-common.path-prefix=/data"]
