# The service (the default target) and the operator's program (--target deploy), each in an otherwise empty image.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
ARG COMMIT
# The tag otel adds support for traces and makes the program a quarter larger. The tag nethttpomithttp2 leaves HTTP/2
# out of the service, which does not use it.
ARG TAGS
ENV CGO_ENABLED=0 GOFLAGS=-trimpath
RUN LDFLAGS="-s -w -X main.version=$VERSION -X main.commit=$COMMIT" && mkdir -p /out/data && \
    go build -tags "$TAGS grpcnotrace nethttpomithttp2" -ldflags="$LDFLAGS" -o /out/ ./adapters/server && \
    go build -tags "$TAGS grpcnotrace" -ldflags="$LDFLAGS" -o /out/ ./deploy

FROM scratch AS deploy
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/deploy /
USER 65532:65532
ENTRYPOINT ["/deploy"]

FROM scratch AS server
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/server /
# A new volume takes its owner from this empty folder.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV NOTES_ADDR=:8080 NOTES_STORE=bolt:/data/notes.db
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=4s --start-period=5s CMD ["/server", "-healthcheck"]
ENTRYPOINT ["/server"]
