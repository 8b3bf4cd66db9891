# Tandem: one static library a folder, one build folder a variant.  `make help` lists what it does.
#
#   SAN=address,undefined | SAN=thread   a sanitizer build, in a folder of its own
#   WERROR=                              warnings do not stop the build (for packagers)
#   CFLAGS= CPPFLAGS= LDFLAGS=           added to our own
#   DESTDIR= PREFIX=                     where `make install` puts things
#   IPSEC_MB=                            without intel-ipsec-mb even where it is (with a B of its own)

SAN     ?=
WERROR  ?= -Werror
# Sanitizer builds are built for being built: half the time of -O2.  What needs its sight to warn is
# left to the plain build.
CFLAGS  ?= $(if $(SAN),-O1 -g1 -Wno-maybe-uninitialized -Wno-format-truncation,-O2 -g)
PREFIX  ?= /usr
comma   := ,
B       ?= build/$(if $(SAN),$(subst $(comma),-,$(SAN)),plain)

LIBS    := libsodium libcrypto libmnl libevent yaml-0.1 jansson
# intel-ipsec-mb has no pkg-config file and only one processor family: ask the compiler.
IPSEC_MB := $(shell echo 'int main(void) { return IMB_VERSION_NUM < IMB_VERSION(1, 3, 0) || !alloc_mb_mgr(0); }' | \
            $(CC) -include intel-ipsec-mb.h -x c - -lIPSec_MB -o /dev/null 2>/dev/null && echo yes)
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla $(WERROR)
HARDEN  := -fno-strict-aliasing -fstack-protector-strong \
           $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
COMPILE := $(CC) -std=gnu11 -D_GNU_SOURCE= $(WARN) $(HARDEN) -I. -pthread $(shell pkg-config --cflags $(LIBS)) \
           $(if $(IPSEC_MB),-DHAVE_IPSEC_MB) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c
LINK    := $(CC) $(if $(SAN),-fsanitize=$(SAN)) $(CFLAGS) -pthread -Wl,--as-needed,-z,relro,-z,now $(LDFLAGS)
LDLIBS  := $(shell pkg-config --libs $(LIBS)) $(if $(IPSEC_MB),-lIPSec_MB)
# Asked for when a test is linked: who only builds need not have it.
CHECK    = $(shell pkg-config --libs check)

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

# The programs of a tests folder whose names end in _$(2), e.g. $(call programs,unit,test).
programs = $(patsubst tests/%.c,$(B)/%,$(wildcard tests/$(1)/*_$(2).c))
UNIT    := $(call programs,unit,test)
SIM     := $(call programs,sim,test)
FUZZ    := $(call programs,fuzz,fuzz)
BENCH   := $(call programs,bench,bench)
TOOLS   := $(patsubst tests/%.c,$(B)/%,$(wildcard tests/netns/*.c))
WORLD   := $(call objs,$(filter-out %_test.c,$(wildcard tests/sim/*.c)))
LIBRARIES := $(foreach f,$(FOLDERS),$(call lib,$(f)))

all: $(if $(wildcard gateway/main.c),$(B)/tandem) $(LIBRARIES) $(TOOLS)	## build everything but the tests

$(B)/tandem: $(B)/gateway/main.o $(foreach f,$(USES_gateway),$(call lib,$(f)))
	$(LINK) -o $@ $^ $(LDLIBS)

define library
$(call lib,$(1)): $(call objs,$(call src,$(1)))
	@mkdir -p $$(@D) && rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call library,$(f))))

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(COMPILE) -o $@ $<

# Programs named FOLDER_STEM_test (_fuzz, _bench) are linked with what FOLDER may use.
.SECONDEXPANSION:
libs_of  = $(foreach f,$(USES_$(1)),$(call lib,$(f)))
layer    = $(call libs_of,$(firstword $(subst _, ,$(notdir $(1)))))
# A test that defines __wrap_X stands in for X, wherever another file calls it.
wraps    = $(patsubst %,-Wl$(comma)--wrap=%,$(shell nm $(1) | sed -n 's/.* T __wrap_//p'))
$(UNIT) $(BENCH): $(B)/%: $(B)/tests/%.o $$(call layer,$$*)
	@mkdir -p $(@D)
	$(LINK) $(call wraps,$<) -o $@ $^ $(CHECK) $(LDLIBS)

$(SIM): $(B)/%: $(B)/tests/%.o $(WORLD) $(call libs_of,sim)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(CHECK) $(LDLIBS)

# These make allocations fail.
$(B)/sim/memory_test $(B)/sim/scarce_test: \
    LINK += $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc strdup asprintf __asprintf_chk)

# A fuzz target has LLVMFuzzerTestOneInput; without libFuzzer a driver replays files into it.
$(FUZZ): $(B)/%: $(B)/tests/%.o $(if $(findstring fuzzer,$(SAN)),,$(B)/tests/fuzz/replay.o) $$(call layer,$$*)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LDLIBS)

# A tool of the namespace tests stands alone; broker_test is the broker with a toy engine.
$(B)/netns/broker_test: $(call libs_of,gateway)
$(TOOLS): $(B)/%: $(B)/tests/%.o
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LDLIBS)

tests: $(UNIT) $(SIM) $(FUZZ) $(B)/tandem-low	## build the tests

check: all tests			## run unit, simulated-world and seed-replay tests
	@scripts/check $(B)

layers: $(LIBRARIES)			## check that no folder uses what it must not
	@scripts/layers $(B)

T ?= 60
fuzz:					## fuzz every parser for T seconds (T=60; needs clang)
	@scripts/fuzz $(T)

N ?= 10000000
hostile: $(B)/sim/mutated_test		## throw N bent datagrams of strangers at a gateway (N=10000000)
	CK_FORK=no HOSTILE_N=$(N) $<

bench: $(BENCH) $(B)/tandem-bench	## build the benchmarks

# The gateway with a copy in place of the cipher: the ceiling that benchmarks measure against.
$(B)/tandem-bench: $(B)/gateway/main.o $(B)/tests/bench/null_aead.o $(foreach f,$(USES_gateway),$(call lib,$(f)))
	$(LINK) -Wl,--wrap=aead_seal,--wrap=aead_open -o $@ $^ $(LDLIBS)

# The gateway whose numbers soon run low.
$(B)/tandem-low: $(B)/gateway/main.o $(B)/tests/bench/low_numbers.o $(foreach f,$(USES_gateway),$(call lib,$(f)))
	$(LINK) -Wl,--wrap=esp_sa_out_new -o $@ $^ $(LDLIBS)

interop: all				## run against strongSwan in network namespaces (root)
	@tests/netns/interop

SHARE   := $(DESTDIR)$(PREFIX)/share
install: all				## install the binary, man pages and completion
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/sbin $(B)/tandem
	$(foreach s,5 8,$(if $(wildcard gateway/*.$(s)),install -D -m 0644 -t $(SHARE)/man/man$(s) $(wildcard gateway/*.$(s)) &&)) true
	$(if $(wildcard scripts/completion/tandem.bash),install -D -m 0644 scripts/completion/tandem.bash $(SHARE)/bash-completion/completions/tandem)

clean:					## remove all build folders
	rm -rf build

help:					## this list
	@sed -n 's/^\([a-z]*\):[^#]*##/  make \1\t/p' Makefile

.PHONY: all tests check layers fuzz hostile bench interop install clean help
-include $(shell find $(B) -name '*.d' 2>/dev/null)
