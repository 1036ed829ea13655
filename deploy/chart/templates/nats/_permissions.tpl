{{/* What each service may do at the broker, as deploy/README.md lists it. Wildcards match whole tokens, so the stream of
     every shard that there can be is named: a number of shards that is set too early, or back, changes nothing. */}}
{{- define "backchat.permissions" -}}
{{- $erase := list -}}
{{- range $shard := until 256 }}{{ $erase = append $erase (printf "$JS.API.STREAM.MSG.DELETE.CHAT_%d" $shard) }}{{ end -}}
gateway:
  publish:
    - chat.log.>
    - chat.member.>
    - chat.room.>
    - chat.message.>
    - chat.query.>
    - chat.presence.>
    - chat.head.>
    - keys.room
    {{- toYaml $erase | nindent 4 }}
  subscribe:
    - chat.live.>
    - chat.profilelive.>
    - chat.sessionlive.>
    - chat.keyslive.>
    - chat.presence.>
    - chat.head.>
    - rooms.erase
    - rooms.expire
history-worker:
  publish:
    - rooms.expire
    - history.workers
    {{- toYaml $erase | nindent 4 }}
  subscribe:
    - chat.live.>
    - chat.query.history.*
    - chat.query.snapshot.>
    - history.workers
search-worker:
  publish: []
  subscribe:
    - chat.live.>
    - chat.profilelive.>
    - chat.keyslive.>
    - chat.query.search
auth-service:
  publish:
    - chat.profile.>
    - chat.session.>
    - chat.keys.>
    - rooms.erase
    - $JS.API.STREAM.MSG.DELETE.KEYS
    - $JS.API.STREAM.MSG.DELETE.PROFILES
  subscribe:
    - chat.sessionlive.>
    - keys.room
    - keys.admin
    - accounts.copies
{{- end }}
