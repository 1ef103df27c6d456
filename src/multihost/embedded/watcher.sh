# Starts a server, and ends it when its owner ends or asks for it by a line; run by /bin/sh -c, see server.py.
#
# Arguments: $1 the program, $2 a second name of its socket or nothing.
# Descriptors: 1 and 2 the log, 3 the configuration, 4 owner (read end), 5 liveness (write end).
# Environment, which no other user can read: the server's directory, and the name of a file in it.

# This shell ignores signals: whoever ended it would leave the server running. The server inherits
# that, and then installs the handlers that it wants.
trap '' HUP INT QUIT TERM PIPE
# A server of 7.2 or later does not start under a locale that is not installed.
export LC_ALL=C
PATH=${PATH:+$PATH:}/usr/bin:/bin
home=$MULTIHOST_HOME mark=$MULTIHOST_MARK
unset MULTIHOST_HOME MULTIHOST_MARK
cd /

# Without a word the owner was killed, perhaps with the directory just made. Nobody else knew its
# name before, and what is removed here is a file with a random name, and an empty directory.
read -r word <&4 || { rm -f "$home/$mark"; rmdir "$home"; exit; } 2>/dev/null
# The mark shows that this is the directory, and not what somebody has put in its place. From here
# on it is the current one, whatever happens to its name.
[ "$word" = made ] && cd -P "$home" && [ -f "$mark" ] || exit

clean() {
    [ -h "$2" ] || ! [ "$2" -ef server.sock ] || rm -f "$2"
    rm -f server.sock "$mark"
    [ -h "../${home##*/}" ] || ! [ "../${home##*/}" -ef . ] || rmdir "../${home##*/}"
}

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
