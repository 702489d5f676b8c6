# A base image with s6-overlay v3, from its release archives:
#
#   docker build -t hermes-overlay -f docker/s6-overlay.Dockerfile docker
#   cargo xtask image --base hermes-overlay
#
# The archives are downloaded; their checksums are pinned here.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}

ARG S6_OVERLAY_VERSION=3.2.3.0
ARG S6_OVERLAY_URL=https://github.com/just-containers/s6-overlay/releases/download/v${S6_OVERLAY_VERSION}

RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates curl xz-utils \
  && rm -rf /var/lib/apt/lists/*

RUN set -eu; \
  case "$(uname -m)" in \
    x86_64) arch=x86_64; sum=a93f02882c6ed46b21e7adb5c0add86154f01236c93cd82c7d682722e8840563 ;; \
    aarch64) arch=aarch64; sum=0952056ff913482163cc30e35b2e944b507ba1025d78f5becbb89367bf344581 ;; \
    *) echo "no checksum for $(uname -m)" >&2; exit 1 ;; \
  esac; \
  cd /tmp; \
  { \
    echo "b720f9d9340efc8bb07528b9743813c836e4b02f8693d90241f047998b4c53cf  s6-overlay-noarch.tar.xz"; \
    echo "$sum  s6-overlay-$arch.tar.xz"; \
    echo "a60dc5235de3ecbcf874b9c1f18d73263ab99b289b9329aa950e8729c4789f0e  s6-overlay-symlinks-noarch.tar.xz"; \
  } >sums; \
  while read -r _ archive; do curl -fsSLO "$S6_OVERLAY_URL/$archive"; done <sums; \
  sha256sum -c sums; \
  while read -r _ archive; do tar -C / -Jxpf "$archive"; done <sums; \
  rm -f sums s6-overlay-*.tar.xz

ENTRYPOINT ["/init"]
