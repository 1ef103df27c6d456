# Starts a server, and ends it when its owner ends or asks for it by a line; run by /bin/sh -c, see server.py.
#
# Arguments: $1 the program, $2 the server's directory, $3 a socket outside it or nothing.
# Descriptors: 1 and 2 the log, 3 the configuration, 4 owner (read end), 5 liveness (write end).

# This shell ignores signals: whoever ended it would leave the server running. The server inherits
# that, and then installs the handlers that it wants.
trap '' HUP INT QUIT TERM PIPE
# A server of 7.2 or later does not start under a locale that is not installed.
export LC_ALL=C
PATH=${PATH:+$PATH:}/usr/bin:/bin
cd /
clean() { rm -rf "$2"; [ -z "$3" ] || rm -f "$3"; }

"$1" - <&3 3<&- 4<&- &
server=$!
exec 3<&- 5>&-
(exec >/dev/null 2>&1; read -r line <&4; kill -9 $server; clean "$@") &
reader=$!
echo "server pid $server"
exec 4<&- >/dev/null 2>&1

# wait reaps the server, and the reader is killed right after it, before the process id can be given
# to another process.
wait $server
kill -9 $reader
wait $reader
clean "$@"
# This process group is the shell's alone: end what a wrapper script around the server may have left.
kill -9 0
