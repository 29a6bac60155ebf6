"""The words that can be hidden: everyday words of five letters, of our own choice, in alphabetical order."""

TEXT = """
about above actor adopt after again agree alarm album alone along amber ample angel anger angle ankle apple apron
arena argue arrow aside atlas attic audio avoid awake award bacon badge baker basic basin beach beard beast began
bench berry birth black blade blame blank blaze blend bless blind block bloom board boast bonus booth brain brake
brand brave bread break brick bride brief bring broad brook broom brown brush build bunch cabin cable camel candy
canoe cargo carve cause chain chair chalk charm chase cheap check cheek cheer chess chest chief child chill choir
cider cigar civic claim class clean clear clerk cliff climb cloak clock close cloth cloud clown coach coast cocoa
coral couch cough count court cover craft crane cream creek crest crime crisp crowd crown crumb crust curve cycle
daily dairy daisy dance delay depth devil diary digit diner ditch dizzy dough dozen draft drain drama dream dress
drift drill drink drive eager eagle early earth elbow elder empty enemy enjoy enter entry envoy equal error essay
event exact exile extra fable faith fancy feast fence fever fiber field fiery final flame flask fleet flesh float
flock flood flora flour fluid flute focus force forge forty found frame fresh front frost fruit funny gauge ghost
giant glass globe gloom glory glove grain grand grape graph grass gravy green greet grief grill group guard guess
guest guide habit happy harsh haste heart heavy hedge hello hobby honey horse hotel house human humor hurry ideal
image index inner input ivory jelly jewel joint judge juice jumbo kayak knife knock label labor lemon level lever
light limit linen liver lobby local logic loyal lucky lunar lunch magic major maple march marsh match medal melon
mercy merit metal midst minor model money month moral motor mount mouse mouth movie music nerve never night noble
noise north novel nurse oasis ocean offer olive onion opera orbit order organ other ought outer owner paint panel
paper party pasta patch pause peace pearl pedal penny phone photo piano piece pilot pitch pizza place plain plane
plant plate plaza point polar porch pound power press price pride prime prize proof proud pulse pupil puppy purse
queen quick quiet quilt radar radio ranch rapid razor ready realm rebel reply rider ridge rifle rival river roast
robin robot rocky rough round route royal rugby ruler rural salad salon salty sandy sauce scale scarf scene scent
scout screw seven shade shaft shake shape share shark sharp sheep shelf shell shift shine shirt shore short
"""
WORDS: tuple[str, ...] = tuple(TEXT.split())
