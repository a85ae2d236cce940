// libnghttp2, as its own header gives it: HTTP/2 framing, HPACK and the stream states.
#ifndef LARIAT_CNGHTTP2_SHIM_H
#define LARIAT_CNGHTTP2_SHIM_H

#include <nghttp2/nghttp2.h>

#endif
