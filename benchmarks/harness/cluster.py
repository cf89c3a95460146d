"""Workers on one machine."""

import json
import socket

__all__ = ['environments']


def environments(count):
  """Variables for the processes of a cluster over loopback.

  Args:
    count: Number of processes.

  Returns:
    List of dictionaries, with `TF_CONFIG` if there is more than one process.
  """
  if count == 1:
    return [{}]
  # All open at once, so that no port is given twice.
  sockets = [socket.socket() for _ in range(count)]
  try:
    for s in sockets:
      s.bind(('localhost', 0))
    workers = [f'localhost:{s.getsockname()[1]}' for s in sockets]
  finally:
    for s in sockets:
      s.close()
  return [
      {
          'TF_CONFIG': json.dumps({
              'cluster': {'worker': workers},
              'task': {'type': 'worker', 'index': index},
          })
      }
      for index in range(count)
  ]
