// libprotobuf-c, as its own header gives it: packing and parsing of messages by descriptor tables.
#ifndef LARIAT_CPROTOBUFC_SHIM_H
#define LARIAT_CPROTOBUFC_SHIM_H

#include <protobuf-c/protobuf-c.h>

#endif
