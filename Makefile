# Tandem: one static library a folder, one build folder a variant.  `make help` lists what it does.
#
#   SAN=address,undefined | SAN=thread   a sanitizer build, in a folder of its own
#   WERROR=                              warnings do not stop the build (for packagers)
#   DESTDIR= PREFIX=                     where `make install` puts things

SAN     ?=
WERROR  ?= -Werror
PREFIX  ?= /usr
comma   := ,
B       ?= build/$(if $(SAN),$(subst $(comma),-,$(SAN)),plain)

CC      ?= gcc
LIBS    := libsodium libcrypto libmnl libevent yaml-0.1 jansson
CFLAGS  ?= -O2 -g
CFLAGS  += -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
           -Wvla -fno-strict-aliasing -fstack-protector-strong $(WERROR) -I. -pthread \
           $(shell pkg-config --cflags $(LIBS)) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
LDFLAGS += $(if $(SAN),-fsanitize=$(SAN)) -pthread
LDLIBS   = $(shell pkg-config --libs $(LIBS))

FOLDERS := base ike esp tun gateway
src      = $(filter-out gateway/main.c,$(wildcard $(1)/*.c))
objs     = $(patsubst %.c,$(B)/%.o,$(1))
lib      = $(B)/lib$(1).a

# What a layer may use: itself and what is below it.
USES_base    := base
USES_ike     := ike base
USES_esp     := esp base
USES_tun     := tun base
USES_gateway := gateway ike esp tun base
USES_sim     := gateway ike esp tun base

UNIT    := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*_test.c))
SIM     := $(patsubst tests/sim/%.c,$(B)/sim/%,$(wildcard tests/sim/*_test.c))
TOOLS   := $(patsubst tests/netns/%.c,$(B)/netns/%,$(wildcard tests/netns/*.c))
FUZZ    := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
SIMWORLD := $(call objs,$(filter-out %_test.c,$(wildcard tests/sim/*.c)))

all: $(if $(wildcard gateway/main.c),$(B)/tandem) $(foreach f,$(FOLDERS),$(call lib,$(f))) $(TOOLS)	## build everything but the tests

$(B)/tandem: $(B)/gateway/main.o $(foreach f,$(USES_gateway),$(call lib,$(f)))
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

define library
$(call lib,$(1)): $(call objs,$(call src,$(1)))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call library,$(f))))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# A unit test is named FOLDER_STEM_test.c and is linked with what FOLDER may use.
layer    = $(firstword $(subst _, ,$(notdir $(1))))
libs_of  = $(foreach f,$(USES_$(1)),$(call lib,$(f)))
CHECK    = $(shell pkg-config --libs check)
.SECONDEXPANSION:
$(UNIT): $(B)/unit/%: $(B)/tests/unit/%.o $$(call libs_of,$$(call layer,$$*))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK) $(LDLIBS)

$(SIM): $(B)/sim/%: $(B)/tests/sim/%.o $(SIMWORLD) $(call libs_of,sim)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK) $(LDLIBS)

$(TOOLS): $(B)/netns/%: $(B)/tests/netns/%.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^

# A fuzz target has LLVMFuzzerTestOneInput; without clang it is linked with a driver that replays its seeds.
$(FUZZ): $(B)/fuzz/%: $(B)/tests/fuzz/%.o $(B)/tests/fuzz/replay.o $$(call libs_of,$$(call layer,$$*))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

tests: $(UNIT) $(SIM) $(FUZZ)		## build the tests

check: all tests			## run unit, simulated-world and seed-replay tests
	@scripts/check $(B)

layers: $(foreach f,$(FOLDERS),$(call lib,$(f)))	## check that no folder uses what it must not
	@scripts/layers $(B)

T ?= 60
fuzz:					## fuzz every parser for T seconds (T=60)
	@scripts/fuzz $(T)

interop: all				## run against strongSwan in network namespaces (root)
	@tests/netns/interop

install: all				## install the binary, man pages and completion
	install -D -m 0755 $(B)/tandem $(DESTDIR)$(PREFIX)/sbin/tandem

clean:					## remove all build folders
	rm -rf build

help:					## this list
	@sed -n 's/^\([a-z]*\):[^#]*##/  make \1\t/p' Makefile

.PHONY: all tests check layers fuzz interop install clean help
-include $(shell find $(B) -name '*.d' 2>/dev/null)
