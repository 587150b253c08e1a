# The image of a release, around a binary that is built already. The Dockerfile at the top builds it from source; both end alike.
FROM --platform=$BUILDPLATFORM alpine:3.22 AS files
RUN apk add --no-cache ca-certificates && mkdir -p /out/data /out/tmp && chmod 1777 /out/tmp

FROM scratch
ARG TARGETPLATFORM
COPY --from=files /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY $TARGETPLATFORM/logstore /usr/bin/logstore
COPY --from=files --chown=10001:10001 /out/data /data
COPY --from=files /out/tmp /tmp
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 3100 9095 7946
HEALTHCHECK --interval=5s --timeout=6s --start-period=60s --retries=6 CMD ["/usr/bin/logstore", "health"]
ENTRYPOINT ["/usr/bin/logstore"]
CMD ["-common.path-prefix=/data"]
